// What one block says of each of its keys: whether it is there, and what may be passed over without reading the block.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "store/key_marks.h"
#include "store/view.h"

namespace portbook {

struct BlockKeys {
  struct Entry {
    uint32_t key = 0;  // the upper 32 bits
    KeyMarks marks = 0;
    bool operator==(const Entry&) const = default;
  };
  TimeNs begins = 0;           // nearly all of the block's records are of this time or later
  TimeNs ends = 0;             // no time, start or end of its records is later
  std::vector<Entry> entries;  // ascending by key, each once
};

// That a row carries a key.
struct KeyMention {
  uint32_t key = 0;  // the upper 32 bits
  uint16_t row = 0;
  KeyMarks marks = 0;
};

// Gathers the keys of a block's records, row by row. One thread; used once.
class BlockKeysBuilder {
 public:
  // `keys` are the record's (row_keys.h).
  void add(const Record& record, std::span<const RowKey> keys);
  BlockKeys finish();
  // After finish(): by key, then row. A row may carry one key twice: two of its keys may begin alike.
  [[nodiscard]] std::span<const KeyMention> mentions() const { return mentions_; }

 private:
  static constexpr TimeNs kNone = UINT64_MAX;
  struct Row {
    TimeNs start = kNone;   // kNone: it says nothing of a connection; 0: it began at an unknown moment
    uint32_t keys_end = 0;  // in keys_; they begin where those of the row before end
    KeyMarks marks = 0;
  };
  struct RowOfConn {
    Id128 conn{};
    uint32_t row = 0;
  };
  [[nodiscard]] std::span<const RowKey> keys_of_row(uint32_t row) const;
  TimeNs settle_begins();
  void mark_open();
  void make_mentions(TimeNs begins);

  std::vector<RowKey> keys_;
  std::vector<Row> rows_;
  std::vector<RowOfConn> opened_;
  std::vector<RowOfConn> closed_;
  std::vector<KeyMarks> open_marks_;  // for each of keys_
  std::vector<KeyMention> mentions_;
  std::vector<TimeNs> times_;
  TimeNs ends_ = 0;
};

// The keys of the block's first `rows` records.
BlockKeys keys_of(const Columns& columns, uint32_t rows);

}  // namespace portbook
