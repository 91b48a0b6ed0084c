// A set of keys that may say yes for one that it does not have, once in some billion times, and never no for one that it has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace portbook {

// Keeps 32 bits of each key, in tables of which each is up to four times the one before, so that none is ever filled anew. One
// thread.
class EndFilter {
 public:
  // Makes room for so many keys in one table, which is the quickest to ask. Needs an empty set.
  void reserve(size_t keys);
  void add(uint64_t key);
  [[nodiscard]] bool may_have(uint64_t key) const;
  [[nodiscard]] size_t size() const { return size_; }  // keys added, also those that were there

 private:
  static constexpr size_t kFirstSlots = size_t{1} << 16;
  static constexpr size_t kGrowthMax = size_t{1} << 24;  // slots
  static uint32_t mark_of(uint64_t mixed);
  static uint64_t mix(uint64_t key);

  std::vector<std::vector<uint32_t>> tables_;  // 0: an empty slot
  size_t filled_ = 0;                          // slots of the last table
  size_t size_ = 0;
};

}  // namespace portbook
