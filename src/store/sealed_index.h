// The row index of a sealed block: the upper 32 bits of each key, sorted, in 256 pages, with the rows that carry it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "store/view.h"

namespace portbook {

inline constexpr size_t kIndexPages = 256;  // by the key's first byte

// Gathers (key, row) pairs, rows in ascending order, and writes them out.
class SealedIndexBuilder {
 public:
  void add(RowKey key, uint16_t row) { entries_.push_back({static_cast<uint32_t>(key >> 32), row}); }

  // Appends the pages one after the other; page p is [ends[p - 1], ends[p]) of what was appended.
  void finish(Bytes& out, std::array<uint32_t, kIndexPages>& ends);

 private:
  struct Entry {
    uint32_t key;
    uint16_t row;
  };
  void sort();

  std::vector<Entry> entries_;
  std::vector<Entry> other_;
};

// Which page holds that key.
constexpr size_t index_page_of(RowKey key) {
  return key >> 56;
}
// Appends the rows of `key` below `row_end` that the page names, ascending. False if the page is not what a builder writes.
bool find_in_index_page(ByteView page, RowKey key, uint32_t row_end, std::vector<uint32_t>& rows);

}  // namespace portbook
