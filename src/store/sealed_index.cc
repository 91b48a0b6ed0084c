#include "store/sealed_index.h"

#include <algorithm>
#include <utility>

#include "store/byte_reader.h"

namespace portbook {

// By key, rows staying in order: least significant digit first, three digits of 11 bits.
void SealedIndexBuilder::sort() {
  constexpr unsigned kDigitBits = 11;
  constexpr uint32_t kDigits = 1U << kDigitBits;
  other_.resize(entries_.size());
  for (unsigned shift = 0; shift < 32; shift += kDigitBits) {
    std::vector<uint32_t> starts(kDigits + 1);
    for (const Entry& entry : entries_) ++starts[(entry.key >> shift & (kDigits - 1)) + 1];
    for (uint32_t digit = 0; digit < kDigits; ++digit) starts[digit + 1] += starts[digit];
    for (const Entry& entry : entries_) other_[starts[entry.key >> shift & (kDigits - 1)]++] = entry;
    std::swap(entries_, other_);
  }
}

void SealedIndexBuilder::finish(Bytes& out, std::array<uint32_t, kIndexPages>& ends) {
  sort();
  const auto same = [](const Entry& a, const Entry& b) { return a.key == b.key && a.row == b.row; };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  const size_t begin = out.size();
  size_t at = 0;
  for (size_t page = 0; page < kIndexPages; ++page) {
    uint32_t last_key = static_cast<uint32_t>(page) << 24;
    while (at < entries_.size() && entries_[at].key >> 24 == page) {
      const uint32_t key = entries_[at].key;
      size_t end = at;
      while (end < entries_.size() && entries_[end].key == key) ++end;
      append_varint(out, key - last_key);
      append_varint(out, static_cast<uint32_t>(end - at));
      uint32_t last_row = 0;
      for (; at < end; ++at) {
        append_varint(out, entries_[at].row - last_row);
        last_row = entries_[at].row;
      }
      last_key = key;
    }
    ends[page] = static_cast<uint32_t>(out.size() - begin);
  }
  entries_.clear();
}

bool find_in_index_page(ByteView page, RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) {
  const auto wanted = static_cast<uint32_t>(key >> 32);
  ByteReader in(page);
  uint64_t at_key = wanted >> 24 << 24;
  while (!in.done()) {
    uint32_t step = 0;
    uint32_t count = 0;
    if (!in.take_varint(step) || !in.take_varint(count)) return false;
    at_key += step;
    if (at_key > wanted) return true;
    uint64_t row = 0;
    for (uint32_t i = 0; i < count; ++i) {
      uint32_t row_step = 0;
      if (!in.take_varint(row_step)) return false;
      row += row_step;
      if (row >= kBlockRowsMax) return false;
      if (at_key == wanted && row < row_end) rows.push_back(static_cast<uint32_t>(row));
    }
  }
  return true;
}

}  // namespace portbook
