// The row index of a sealed block: the upper 32 bits of each key, sorted, in 256 pages, with the rows that carry it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "store/block_keys.h"
#include "store/view.h"

namespace portbook {

inline constexpr size_t kIndexPages = 256;  // by the key's first byte

// Appends the pages of mentions that are sorted by key, then row, one after the other; page p is [ends[p - 1], ends[p]) of what was
// appended.
void append_index_pages(std::span<const KeyMention> mentions, Bytes& out, std::array<uint32_t, kIndexPages>& ends);

// Which page holds that key.
constexpr size_t index_page_of(RowKey key) {
  return key >> 56;
}
// Appends the rows of `key` below `row_end` that the page names, ascending. False if the page is not what a builder writes.
bool find_in_index_page(ByteView page, RowKey key, uint32_t row_end, std::vector<uint32_t>& rows);

}  // namespace portbook
