// A filter over the narrow columns of whole blocks: each different value is tested once, rows only carry the answer. For filters
// that ask nothing but what the rows themselves say, or all records of their processes alike.
#pragma once

#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "query/evaluate.h"
#include "query/process_answers.h"
#include "query/row_mask.h"
#include "store/connection_rows.h"
#include "store/narrow_columns.h"

namespace portbook {

// The answer for each id of a column; the first is that of rows that lack the field. Needs has_ids().
std::vector<uint8_t> answers_of(const Test& test, const NarrowColumn& column);
// Keeps the rows whose id has answer 1. Likewise.
void keep_answered(RowMask& mask, const NarrowColumn& column, std::span<const uint8_t> answers);

// One thread. The filter and the joins must outlive it.
class NarrowFilter {
 public:
  // Nothing if the filter needs the whole rows, or other records than those of processes.
  static std::optional<NarrowFilter> of(const Filter& filter, Reading reading, Joins& joins);

  // The columns that it looks at.
  [[nodiscard]] const FieldSet& wanted() const { return wanted_; }

  // Fills `rows` with those that match, ascending. `open`: of Reading::kConnections. `owner_shown`: what is counted of the rows are
  // fields that an acceptor's record may say. False if that cannot be told from these columns; `rows` then mean nothing. Needs
  // columns that hold wanted().
  bool keep_matching(const NarrowColumns& columns, const OpenRows* open, bool owner_shown, std::vector<uint16_t>& rows);

  // The first block that could not be read for another record; what was kept then means nothing. Errors: kIo, kCorrupt.
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  // What processes answer to one test.
  struct KnownProcesses {
    std::unordered_map<ProcessId, ProcessAnswer, ProcessIdHash> singly;
    std::optional<ProcessAnswers> all;  // once so many were asked for
    bool too_many = false;              // for `all`
  };

  NarrowFilter(const Filter& filter, Reading reading, Joins& joins) : filter_(&filter), reading_(reading), joins_(&joins) {}
  bool add_wanted(const FilterNode& node);
  [[nodiscard]] bool asks_for_owner(const FilterNode& node) const;
  void begin(const NarrowColumns& columns, const OpenRows* open);
  bool keep(const FilterNode& node, const NarrowColumns& columns, RowMask& mask);
  bool keep_test(const Test& test, const NarrowColumns& columns, RowMask& mask);
  bool keep_process_values(const Test& test, const NarrowColumns& columns, RowMask& mask);
  ProcessAnswer answer_of(const Test& test, const ProcessId& process, KnownProcesses& known);

  const Filter* filter_;
  Reading reading_;
  Joins* joins_;
  Status status_;
  std::unordered_map<const Test*, KnownProcesses> known_;
  FieldSet wanted_ = fields_of(std::array{Field::kKind});
  RowMask mask_;
};

}  // namespace portbook
