// The row index of the open block: a hash table from key to rows that one thread fills while others read it without a lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "store/view.h"

namespace portbook {

// Each key has a chain of rows, newest first, so that a key with few rows never walks through one with many. A block begins with a
// small table, so that a quiet host does not pay for a large one, and moves to one that is never full.
class OpenIndex {
 public:
  OpenIndex();
  ~OpenIndex();
  OpenIndex(const OpenIndex&) = delete;
  OpenIndex& operator=(const OpenIndex&) = delete;

  // One thread only, rows in ascending order. Readers see the row at once: they have to leave out rows not yet published.
  void add(RowKey key, uint16_t row);
  // Fetches the place of a key that add() will soon be called with. For the adding thread.
  void prefetch(RowKey key) const { __builtin_prefetch(&adding_->slots[key & adding_->mask], 1); }

  // Appends the rows of `key` below `row_end`, ascending.
  void rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) const;

 private:
  struct Slot {
    std::atomic<RowKey> key;       // 0: free
    std::atomic<uint32_t> newest;  // index of the chain's first node
  };
  struct Node {
    uint32_t next;  // 0: the chain's end
    uint16_t row;
  };
  struct Table {
    Slot* slots = nullptr;  // mask + 1 of them
    size_t mask = 0;

    [[nodiscard]] Slot& slot_of(RowKey key) const;
  };
  void grow();

  Table small_;
  Table large_;
  // What readers look into. The small table stays as it was when the large one took over: who still looks into it came before any
  // row that is only in the other.
  std::atomic<const Table*> table_;
  Node* nodes_;

  // Owner: the adding thread.
  const Table* adding_;
  uint32_t node_count_ = 1;
};

}  // namespace portbook
