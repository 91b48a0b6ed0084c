// Tail: rows as their records arrive, from any index on, without a hole and without a double.
#pragma once

#include "query/search.h"

namespace portbook {

// Follows a book. A connection is a row at its open, when another process turns out to use it, and at its close.
// One thread at a time.
class Tail {
 public:
  // `filter` is kept; the first record looked at has index `from`.
  Tail(Filter filter, uint64_t from) : filter_(std::move(filter)), reading_(reading_of(filter_)), next_(from) {}

  // The row and the index at which a tail that has seen it goes on.
  using Emit = std::function<void(const Row& row, uint64_t next)>;
  // Looks at the records of `view` that were not looked at yet, at most `rows_max` of them. True once none are left.
  // Errors: kIo, kCorrupt; kNotFound when the next record was dropped by retention.
  Result<bool> advance(const View& view, uint32_t rows_max, const Emit& emit);

  [[nodiscard]] uint64_t next() const { return next_; }

 private:
  Filter filter_;
  Reading reading_;
  uint64_t next_ = 0;
};

}  // namespace portbook
