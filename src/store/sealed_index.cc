#include "store/sealed_index.h"

#include "store/byte_reader.h"

namespace portbook {

void append_index_pages(std::span<const KeyMention> mentions, Bytes& out, std::array<uint32_t, kIndexPages>& ends) {
  const size_t begin = out.size();
  size_t at = 0;
  for (size_t page = 0; page < kIndexPages; ++page) {
    uint32_t last_key = static_cast<uint32_t>(page) << 24;
    while (at < mentions.size() && mentions[at].key >> 24 == page) {
      const uint32_t key = mentions[at].key;
      uint32_t count = 1;
      size_t end = at + 1;
      for (; end < mentions.size() && mentions[end].key == key; ++end) count += mentions[end].row != mentions[end - 1].row ? 1 : 0;
      append_varint(out, key - last_key);
      append_varint(out, count);
      append_varint(out, mentions[at].row);
      for (++at; at < end; ++at) {
        if (mentions[at].row != mentions[at - 1].row)
          append_varint(out, static_cast<uint32_t>(mentions[at].row - mentions[at - 1].row));
      }
      last_key = key;
    }
    ends[page] = static_cast<uint32_t>(out.size() - begin);
  }
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
