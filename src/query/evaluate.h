// Runs a filter over the rows of a block.
#pragma once

#include "query/filter.h"
#include "query/joins.h"

namespace portbook {

// How the fields of a row are read.
enum class Reading : uint8_t {
  kRecords,      // the row's own fields; those of its process are joined
  kConnections,  // also: who accepted it instead of who listened, and its translation from NAT records
};

// Keeps the rows that match. One thread; the filter and the joins must outlive it.
class Evaluator {
 public:
  Evaluator(const Filter& filter, Joins& joins, Reading reading) : filter_(filter), joins_(joins), reading_(reading) {}

  // The fields that keep_matching() may look at, and those that tell which rows are connections.
  [[nodiscard]] FieldSet wanted() const;

  // `rows` is ascending and stays so. Needs columns that hold wanted(). Blocks that a join could not read: see Joins::status().
  void keep_matching(const Columns& columns, uint64_t first_index, std::vector<uint32_t>& rows);

 private:
  void keep(const FilterNode& node, std::vector<uint32_t>& rows);
  void keep_test(const Test& test, std::vector<uint32_t>& rows);
  // True iff other records may say what the row's field is.
  [[nodiscard]] bool is_joined(Field field) const;
  // True iff every test of it looks at nothing but the rows' own columns.
  [[nodiscard]] bool stands_in_columns(const FilterNode& node) const;
  void add_wanted(const FilterNode& node, FieldSet& wanted) const;
  bool field_matches(const Test& test, uint32_t row);
  bool any_side_matches(const Test& test, uint32_t row);
  bool any_text_matches(const Test& test, uint32_t row);
  // Test of a field of the process. Rows of one process share the answer.
  void keep_process_values(const Test& test, std::vector<uint32_t>& rows);
  // The row's process, as this reading names it.
  std::optional<ProcessId> process_of(uint32_t row);
  const Indexed* process_record(uint32_t row);
  const Indexed* acceptor_of(uint32_t row);
  // The first lease of the row's connection, when the row itself names no translation.
  std::optional<Lease> lease_of_row(uint32_t row);

  const Filter& filter_;
  Joins& joins_;
  Reading reading_;
  const Columns* columns_ = nullptr;  // of keep_matching() under way
  uint64_t first_index_ = 0;
};

// True iff the fields of a row's process record (user, cmdline and others) are asked for by that field.
bool is_process_field(Field field);
// The used_by record of who accepted the inbound connection, when `record` itself does not name that process; else null. Valid
// until the next look-up.
const Indexed* acceptor_of(Joins& joins, const Record& record);
const Indexed* acceptor_of(Joins& joins, const Columns& columns, uint32_t row);
// True iff acceptor_of() has to look for such a record.
bool may_have_acceptor(const Columns& columns, uint32_t row);
// True iff a value of the record's own field `test.field` passes. `test` has subject kField.
bool own_value_matches(const Test& test, const Record& record);
// Whether a value of `test.field`, a process field, passes where the process's records are asked; false where it has none. Nothing
// if they do not agree, or are too many: which of them counts then depends on the row.
std::optional<bool> process_matches(const Test& test, Joins& joins, const ProcessId& process);
// True iff an acceptor's record may say what the field is; and those that a NAT lease may.
bool is_owner_field(Field field);
bool is_nat_field(Field field);
// When the row's connection began and ended, as the row says: a close and a failed have both, an open its time and no end.
struct RowInterval {
  std::optional<TimeNs> start;
  std::optional<TimeNs> end;
};
RowInterval row_interval(const Record& record);
RowInterval row_interval(const Columns& columns, uint32_t row);

// The fields of a connection's process that an acceptor's record overrides.
inline constexpr std::array kOwnerFields = {Field::kPid, Field::kProcessStart, Field::kExe, Field::kUid, Field::kContainer};

// What rows of any kind are known by: whether they are connections, when they were.
inline constexpr std::array kRowFields = {Field::kKind, Field::kVantage, Field::kConn, Field::kTime, Field::kStart, Field::kEnd};
// What tells who accepted a connection, and which process has it.
inline constexpr std::array kProcessKeyFields = {Field::kDirection, Field::kRole, Field::kPid, Field::kProcessStart};

// The pairs of fields that form an endpoint.
inline constexpr std::array<std::pair<Field, Field>, 7> kEndpointFields = {{{Field::kSrcIp, Field::kSrcPort},
                                                                            {Field::kDstIp, Field::kDstPort},
                                                                            {Field::kSrcNatIp, Field::kSrcNatPort},
                                                                            {Field::kDstNatIp, Field::kDstNatPort},
                                                                            {Field::kUpSrcIp, Field::kUpSrcPort},
                                                                            {Field::kUpDstIp, Field::kUpDstPort},
                                                                            {Field::kClaimedIp, Field::kClaimedPort}}};

}  // namespace portbook
