// Which rows are the connections that people see, known without looking each one up.
//
// A connection is one row. Its main record is its close or failed; while it has none, its open, else its newest existing. A close
// or failed is thus always a row; an open or existing is one until a record with its conn supersedes it.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "store/end_filter.h"
#include "store/view.h"

namespace portbook {

// True iff the row may be the main record of a connection: its kind and vantage say so. Needs kConnectionFields held.
bool is_connection_kind(const Columns& columns, uint32_t row);
// True iff `other` makes another record of the same connection, an open or existing one, no row.
constexpr bool supersedes(Kind other, uint64_t other_index, Kind kind, uint64_t index) {
  if (other == Kind::kClose || other == Kind::kFailed) return true;
  return kind == Kind::kExisting && (other == Kind::kOpen || (other == Kind::kExisting && other_index > index));
}

inline constexpr FieldSet kConnectionFields = fields_of(std::array{Field::kKind, Field::kVantage, Field::kConn});

// The rows of a block that are connections, besides each close and failed. Both ascending.
struct OpenRows {
  std::vector<uint16_t> rows;  // opens and existings that nothing supersedes
  std::vector<uint16_t> late;  // those that an older record supersedes: rows, if retention dropped that one; to be looked up then
};
// One for each block of a view. Shared: blocks of which nothing changes have the same in many views.
using MainRows = std::vector<std::shared_ptr<const OpenRows>>;

// What the views of one book share. Thread-safe. Sealed blocks are taken in once, oldest first; what they say of the blocks before
// them is kept as new lists, so that views which have the old ones are not disturbed.
class ConnectionRows {
 public:
  static constexpr size_t kOpenMax = 4'000'000;   // connections that nothing has ended; with more of them nothing is known
  static constexpr size_t kEndsMax = 64'000'000;  // closes and faileds that are remembered, in up to 360 MB; likewise

  // The rows of the view; null where they are not known: the view is older than a block that was taken in, there is too much, or
  // `stop_at` came while blocks were taken in (the next call goes on). Errors: kIo, kCorrupt of a block.
  Result<std::shared_ptr<const MainRows>> of(const View& view, std::chrono::steady_clock::time_point stop_at);

 private:
  struct Start {
    uint64_t index = 0;
    Kind kind = Kind::kOpen;
  };
  struct ConnHash {
    size_t operator()(const Id128& conn) const { return static_cast<size_t>(conn_key(conn)); }
  };
  using Starts = std::unordered_multimap<Id128, Start, ConnHash>;
  struct SettledBlock {
    uint64_t first_index = 0;
    std::shared_ptr<const OpenRows> open;
  };

  void begin_at(uint64_t first_index);
  void drop_below(uint64_t first_index);
  Status take_in(const View& view, const BlockRef& ref);
  static Result<bool> superseded_before(const View& view, const Id128& conn, Kind kind, uint64_t index);
  // Takes those rows out of the lists of their blocks, as new lists.
  static void remove(std::vector<uint64_t>& superseded, std::vector<SettledBlock>& blocks);
  Result<std::shared_ptr<const MainRows>> with_open_blocks(const View& view, size_t settled);

  std::timed_mutex mutex_;
  // Under `mutex_`.
  std::vector<SettledBlock> blocks_;  // ascending, without holes
  bool begun_ = false;
  uint64_t first_ = 0;  // blocks before it are not kept any more
  uint64_t end_ = 0;    // of the records that were taken in
  bool too_many_ = false;
  Starts starts_;   // opens and existings that nothing supersedes
  EndFilter ends_;  // conns of closes and faileds
  uint64_t last_first_ = 0;
  uint64_t last_size_ = 0;
  std::shared_ptr<const MainRows> last_;  // of the view that was asked for last
};

}  // namespace portbook
