// The row that people see: a connection merged from its records, or one evidence record.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "query/joins.h"

namespace portbook {

enum class RowState : uint8_t { kOpen, kClosed, kFailed, kRecord };
std::string_view to_text(RowState state);

struct Row {
  uint64_t id = 0;  // ledger index of the main record
  RowState state = RowState::kRecord;
  Record record;                        // merged: see connection_row()
  std::optional<TimeNs> start;          // absent for a connection that was there before capture began
  std::optional<uint64_t> duration_ns;  // absent while open
  std::optional<Endpoint> internal;     // the initiator's endpoint before translation
  std::optional<Endpoint> external;     // after it; absent when none is known
  std::vector<uint64_t> records;        // every linked record, ascending
};

// The connection whose main record is `main`: its fields, and then
//   the process, user and container of the one that accepted it, from its used_by record,
//   the translation, from its NAT leases, where the record names none,
//   user, login, cmdline, comm, cwd and container.name, from the process record.
Row connection_row(Joins& joins, uint64_t index, const Record& main);
RowState row_state(Kind main);
// The same fields without the list of records, and with a translation from NAT leases only if asked: for counting.
Record merged_record(Joins& joins, uint64_t index, const Record& main, bool with_leases);
// True iff merged_record() takes that field from the process record where the record itself lacks it.
bool is_joined_field(Field field);
// One record as it stands, with its process's fields joined.
Row record_row(Joins& joins, uint64_t index, const Record& record);

// Appends the row as one JSON object (the HTTP contract's Row).
void append_json(const Row& row, std::string& out);

}  // namespace portbook
