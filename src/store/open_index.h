// The row index of the open block: a hash table from key to rows that one thread fills while others read it without a lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "store/view.h"

namespace portbook {

// Each key has a chain of rows, newest first, so that a key with few rows never walks through one with many.
class OpenIndex {
 public:
  OpenIndex();
  ~OpenIndex();
  OpenIndex(const OpenIndex&) = delete;
  OpenIndex& operator=(const OpenIndex&) = delete;

  // One thread only, rows in ascending order. Readers see the row at once: they have to leave out rows not yet published.
  void add(RowKey key, uint16_t row);
  // Fetches the place of a key that add() will soon be called with.
  void prefetch(RowKey key) const { __builtin_prefetch(&slots_[key & kSlotMask], 1); }

  // Appends the rows of `key` below `row_end`, ascending.
  void rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) const;

  // Calls visit(key, row) for every entry, in no particular order. Only when nothing is added any more.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (size_t i = 0; i < kSlots; ++i) {
      const RowKey key = slots_[i].key.load(std::memory_order_relaxed);
      if (key == 0) continue;
      for (uint32_t n = slots_[i].newest.load(std::memory_order_relaxed); n != 0; n = nodes_[n].next) visit(key, nodes_[n].row);
    }
  }

 private:
  struct Slot {
    std::atomic<RowKey> key;       // 0: free
    std::atomic<uint32_t> newest;  // index of the chain's first node
  };
  struct Node {
    uint32_t next;  // 0: the chain's end
    uint16_t row;
  };
  static constexpr size_t kSlots = 1U << 20;  // a full block has at most kBlockRowsMax * kRowKeysMax keys: never full
  static constexpr size_t kSlotMask = kSlots - 1;

  [[nodiscard]] Slot& slot_of(RowKey key) const;

  Slot* slots_;
  Node* nodes_;
  uint32_t node_count_ = 1;  // owner: the adding thread
};

}  // namespace portbook
