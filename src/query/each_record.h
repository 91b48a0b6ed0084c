// All rows of a search, as records of the few fields that somebody wants: for reports over many connections, where joining
// everything that is known of each would take most of the time.
#pragma once

#include <chrono>
#include <span>

#include "query/evaluate.h"
#include "query/search.h"

namespace portbook {

// Calls visit(index, record) for each row, newest first, at most `rows_max` times and until `stop_at`. `record` has what the row
// itself says of `fields`. True once there is no more. Errors: kIo, kCorrupt of a block, also of one that visit's joins read.
template <typename Visit>
Result<bool> each_record(Search& search, const FieldSet& fields, uint64_t rows_max, std::chrono::steady_clock::time_point stop_at,
                         Visit visit) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kSlice = std::chrono::milliseconds(20);
  search.want(fields);
  if (Status prepared = search.prepare(Clock::now() + (stop_at - Clock::now()) / 2); !prepared)
    return std::unexpected(prepared.error());
  Record record;
  uint64_t visited = 0;
  while (!search.done() && visited < rows_max && Clock::now() < stop_at) {
    const auto done = search.scan(kSlice, [&](const Columns& columns, uint64_t first, std::span<const uint32_t> rows) {
      for (size_t k = rows.size(); k-- > 0 && visited < rows_max; ++visited) {
        columns.read(rows[k], fields, record);
        visit(first + rows[k], record);
      }
    });
    if (!done) return std::unexpected(done.error());
  }
  if (!search.joins().status()) return std::unexpected(search.joins().status().error());
  return search.done() && visited < rows_max;
}

// The record that names the process, user and container of a connection: that of who accepted it, where that is another. Needs
// kProcessKeyFields, kConn and what is asked of the record. Valid until the next look-up of an acceptor.
inline const Record& owner_record(Joins& joins, const Record& main) {
  const Indexed* const acceptor = acceptor_of(joins, main);
  return acceptor != nullptr && acceptor->record.has(Field::kPid) ? acceptor->record : main;
}

}  // namespace portbook
