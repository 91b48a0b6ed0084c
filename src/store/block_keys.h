// What one block says of each of its keys: whether it is there, and what may be passed over without reading the block.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
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

// Gathers the keys of a block's records. One thread; used once.
class BlockKeysBuilder {
 public:
  // `keys` are the record's (row_keys.h).
  void add(const Record& record, std::span<const RowKey> keys);
  BlockKeys finish();

 private:
  static constexpr TimeNs kNone = UINT64_MAX;
  struct Mention {
    uint32_t key = 0;
    KeyMarks marks = 0;
    TimeNs start = kNone;  // kNone: it says nothing of a connection; 0: it began at an unknown moment
  };
  struct Opened {
    Id128 conn{};
    RowKey key = 0;
    size_t mention = 0;
  };
  struct ConnHash {
    size_t operator()(const Id128& conn) const { return static_cast<size_t>(load_little<uint64_t>(conn.data() + 8)); }
  };
  TimeNs settle_begins();

  std::vector<Mention> mentions_;
  std::vector<Opened> opened_;
  std::vector<RowKey> closed_keys_;
  std::unordered_map<Id128, std::pair<size_t, size_t>, ConnHash> closed_;  // its keys' place among closed_keys_, and how many
  std::vector<TimeNs> times_;
  TimeNs ends_ = 0;
};

// The keys of the block's first `rows` records.
BlockKeys keys_of(const Columns& columns, uint32_t rows);

}  // namespace portbook
