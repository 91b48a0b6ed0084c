// A filter over the narrow columns of whole blocks: each different value is tested once, rows only carry the answer. For filters
// that ask nothing but what the rows themselves say.
#pragma once

#include <optional>
#include <vector>

#include "query/evaluate.h"
#include "query/row_mask.h"
#include "store/connection_rows.h"
#include "store/narrow_columns.h"

namespace portbook {

// One thread. The filter must outlive it.
class NarrowFilter {
 public:
  // Nothing if the filter needs other records or the whole rows. `owner_shown`: what is counted of the rows are fields that an
  // acceptor's record may say.
  static std::optional<NarrowFilter> of(const Filter& filter, Reading reading, bool owner_shown);

  // The columns that it looks at.
  [[nodiscard]] const FieldSet& wanted() const { return wanted_; }

  // Fills `rows` with those that match, ascending. `open`: of Reading::kConnections. False if that cannot be told from these
  // columns alone; `rows` then mean nothing. Needs columns that hold wanted().
  bool keep_matching(const NarrowColumns& columns, const OpenRows* open, std::vector<uint16_t>& rows);

 private:
  NarrowFilter(const Filter& filter, Reading reading, bool owner_shown)
      : filter_(&filter), reading_(reading), owner_shown_(owner_shown) {}
  bool add_wanted(const FilterNode& node);
  [[nodiscard]] bool asks_for_owner(const FilterNode& node) const;
  void begin(const NarrowColumns& columns, const OpenRows* open);
  bool keep(const FilterNode& node, const NarrowColumns& columns, RowMask& mask);
  bool keep_test(const Test& test, const NarrowColumns& columns, RowMask& mask);

  const Filter* filter_;
  Reading reading_;
  bool owner_shown_;
  FieldSet wanted_ = fields_of(std::array{Field::kKind});
  RowMask mask_;
};

}  // namespace portbook
