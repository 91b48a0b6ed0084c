// Search: rows that match a filter, newest first, in steps, so that whoever asks can stop or wait at any row.
//
// A connection is one row. Its main record is its close or failed; while it has none, its open, else its newest existing. Which one
// that is, is settled by the view that the search began with, so pages that follow a cursor neither repeat nor miss a connection.
#pragma once

#include <chrono>
#include <functional>
#include <unordered_set>

#include "query/evaluate.h"
#include "query/filter.h"
#include "query/narrow_filter.h"
#include "query/row.h"
#include "store/connection_rows.h"

namespace portbook {

// Where a search goes on: rows below `below`, seen as when the book had `size` records.
struct Cursor {
  uint64_t size = 0;
  uint64_t below = 0;
};
std::string to_text(const Cursor& cursor);
// Errors: kBadInput.
Result<Cursor> parse_cursor(std::string_view text);

// Which rows a filter speaks about.
Reading reading_of(const Filter& filter);

// One thread at a time.
class Search {
 public:
  static constexpr uint32_t kRowsPerSlice = 4096;        // rows looked at between two looks at the clock
  static constexpr size_t kEndedRemembered = 1'000'000;  // connections whose close came by and whose open did not yet
  static constexpr size_t kSingleRowsMax = 512;          // read one by one where keys name them; from then on blocks are decoded

  // `filter` is kept. Without a cursor it begins at the newest record of `view`.
  Search(View view, Filter filter, std::optional<Cursor> cursor);
  // The filter is shared by searches that divide one question among threads.
  Search(View view, std::shared_ptr<const Filter> filter, std::optional<Cursor> cursor);
  Search(const Search&) = delete;  // its parts refer to each other
  Search& operator=(const Search&) = delete;

  using Emit = std::function<void(const Row& row)>;
  // Looks at rows until `rows_max` were found or `budget` has passed. True once there is nothing more to look at.
  // Errors: kIo, kCorrupt of a block; the search can then not go on.
  Result<bool> step(size_t rows_max, std::chrono::nanoseconds budget, const Emit& emit);

  // Calls visit(columns, first, rows) with some rows at a time, each ascending and below those of the calls before, instead of
  // building them; for counting. `first`: the index of the columns' row 0. The columns hold want()ed fields and those that the
  // filter looks at. Otherwise as step().
  using Visit = std::function<void(const Columns& columns, uint64_t first, std::span<const uint32_t> rows)>;
  Result<bool> scan(std::chrono::nanoseconds budget, const Visit& visit);
  // Goes to the rows of one of the view's blocks, and not below them.
  void look_at(const BlockRef& ref);
  // Calls visit(columns, rows) with the matching rows of one of the view's blocks, ascending, where narrow columns alone tell them;
  // those hold `shown` then. False: they do not, and visit was not called. Errors: kIo, kCorrupt of the block.
  // `owner_shown`: see NarrowFilter.
  using VisitNarrow = std::function<void(const NarrowColumns& columns, std::span<const uint16_t> rows)>;
  Result<bool> scan_narrow(const BlockRef& ref, const FieldSet& shown, bool owner_shown, const VisitNarrow& visit);
  void want(const FieldSet& fields) { wanted_.add(fields); }
  // Has the book's blocks taken in that no question has seen yet, as far as there is time: rows are then known without looking each
  // up. Errors: kIo, kCorrupt of a block.
  Status prepare(std::chrono::steady_clock::time_point stop_at);

  [[nodiscard]] Cursor cursor() const { return {view_.size(), below_}; }
  [[nodiscard]] bool done() const { return below_ <= from_; }
  [[nodiscard]] uint64_t scanned() const { return scanned_; }
  [[nodiscard]] const View& view() const { return view_; }
  [[nodiscard]] Joins& joins() { return joins_; }
  [[nodiscard]] Reading reading() const { return reading_; }

 private:
  // Puts the rows of the next slice that match and are main records into pending_, and moves below_ to the slice's first row.
  // `singly`: rows that keys name may be read one by one; pending_columns_ are then of no use.
  Status next_slice(bool singly);
  // The same of the newest rows that keys name in a block, which is not decoded for them.
  Status next_single_rows(const BlockRef& ref, uint32_t high);
  // The rows below `high` that keys name, ascending.
  Status keyed_rows(const BlockRef& ref, uint32_t high, std::vector<uint32_t>& rows);
  Status candidates(const BlockRef& ref, const Columns& columns, uint32_t low, uint32_t high, std::vector<uint32_t>& rows);
  // Which of the rows are main records, by what is known of them all, and of them those that match.
  Status keep_known(const OpenRows& known, uint64_t first, const Columns& columns, std::vector<uint32_t>& rows);
  // The same where nothing is known; is_settled() has to look at each row then.
  Status keep_unknown(uint64_t first, const Columns& columns, std::vector<uint32_t>& rows);
  // False if the pending row's connection has a later main record, which is looked up where that is not settled.
  bool is_settled(uint32_t row, const Record& record);
  // Drops such rows out of pending_.
  Status settle_all();
  // Drops rows whose connection has a later main record. Rows come newest first, so a close comes by before its open: remembering
  // that spares a look-up for nearly every open.
  void drop_superseded(const Columns& columns, std::vector<uint32_t>& rows);
  void pass_over_blocks();
  // Fills keys_ when the filter pins an endpoint or a connection.
  void pin_keys();

  View view_;
  std::shared_ptr<const Filter> filter_;
  Joins joins_;
  Reading reading_;
  Evaluator evaluator_;
  std::optional<NarrowFilter> narrow_filter_;  // nothing: the filter needs more than narrow columns
  FieldSet wanted_;
  NumberRange start_range_;
  std::optional<std::vector<RowKey>> keys_;
  std::vector<size_t> key_blocks_;             // of the view, ascending: those that may have one of the keys
  bool prepared_ = false;                      // step() tried to know main_rows_
  std::shared_ptr<const MainRows> main_rows_;  // of the view's blocks; null while they are not known
  uint64_t from_ = 0;                          // rows below it are not looked at
  uint64_t below_ = 0;                         // rows from here on were looked at
  uint64_t scanned_ = 0;
  struct ConnHash {
    size_t operator()(const Id128& conn) const { return static_cast<size_t>(load_little<uint64_t>(conn.data() + 8)); }
  };
  std::unordered_set<Id128, ConnHash> ended_;
  // Matches of the slice under way that were not emitted yet, ascending.
  std::shared_ptr<Block> pending_block_;
  std::shared_ptr<const Columns> pending_columns_;
  std::vector<uint32_t> pending_;
  std::vector<uint16_t> narrow_rows_;
  bool pending_settled_ = true;  // none of them has a later main record
  size_t single_rows_ = 0;       // that were read so far
  uint64_t slice_low_ = 0;
};

}  // namespace portbook
