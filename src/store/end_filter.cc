#include "store/end_filter.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace portbook {

void EndFilter::reserve(size_t keys) {
  PB_CHECK(tables_.empty());
  tables_.emplace_back(std::max(kFirstSlots, std::bit_ceil(keys + keys / 3)));
}

uint64_t EndFilter::mix(uint64_t key) {
  key ^= key >> 32;
  key *= 0x9e3779b97f4a7c15U;
  key ^= key >> 29;
  return key;
}

uint32_t EndFilter::mark_of(uint64_t mixed) {
  const auto mark = static_cast<uint32_t>(mixed >> 32);
  return mark == 0 ? 1 : mark;
}

void EndFilter::add(uint64_t key) {
  ++size_;
  if (tables_.empty() || filled_ * 4 >= tables_.back().size() * 3) {
    tables_.emplace_back(tables_.empty() ? kFirstSlots : std::min(tables_.back().size() * 4, kGrowthMax));
    filled_ = 0;
  }
  std::vector<uint32_t>& table = tables_.back();
  const uint64_t mixed = mix(key);
  const uint32_t mark = mark_of(mixed);
  size_t slot = mixed & (table.size() - 1);
  while (table[slot] != 0 && table[slot] != mark) slot = (slot + 1) & (table.size() - 1);
  filled_ += table[slot] == 0 ? 1 : 0;
  table[slot] = mark;
}

bool EndFilter::may_have(uint64_t key) const {
  const uint64_t mixed = mix(key);
  const uint32_t mark = mark_of(mixed);
  for (const std::vector<uint32_t>& table : tables_) {
    for (size_t slot = mixed & (table.size() - 1); table[slot] != 0; slot = (slot + 1) & (table.size() - 1)) {
      if (table[slot] == mark) return true;
    }
  }
  return false;
}

}  // namespace portbook
