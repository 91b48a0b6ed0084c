#include "store/open_index.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/check.h"
#include "store/row_keys.h"

namespace portbook {

namespace {

constexpr size_t kNodes = size_t{kBlockRowsMax} * kRowKeysMax + 1;
// By so many keys most pages of the slots have been touched, one by one; on a quiet host it may be hours until then.
constexpr uint32_t kSlotsWantedWholeAt = 4096;

void* reserve(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PB_CHECK(memory != MAP_FAILED);
  return memory;
}

}  // namespace

// Fresh pages are zero: free slots, without touching them.
OpenIndex::OpenIndex()
    : slots_(static_cast<Slot*>(reserve(kSlots * sizeof(Slot)))), nodes_(static_cast<Node*>(reserve(kNodes * sizeof(Node)))) {
  static_assert(kNodes < kSlots * 3 / 4);
  static_assert(std::atomic<RowKey>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);
}

OpenIndex::~OpenIndex() {
  munmap(slots_, kSlots * sizeof(Slot));
  munmap(nodes_, kNodes * sizeof(Node));
}

OpenIndex::Slot& OpenIndex::slot_of(RowKey key) const {
  for (size_t i = key & kSlotMask;; i = (i + 1) & kSlotMask) {
    const RowKey found = slots_[i].key.load(std::memory_order_acquire);
    if (found == key || found == 0) return slots_[i];
  }
}

void OpenIndex::add(RowKey key, uint16_t row) {
  PB_CHECK(node_count_ < kNodes);
  Slot& slot = slot_of(key);
  const uint32_t node = node_count_++;
  // Else each page costs two faults, one when it is looked at and one when it is written. Where it fails it goes on like that.
  if (node == kSlotsWantedWholeAt) madvise(slots_, kSlots * sizeof(Slot), MADV_POPULATE_WRITE);
  nodes_[node] = {slot.newest.load(std::memory_order_relaxed), row};
  // The node before its place in the chain, the chain before its key: a reader finds whole ones only.
  slot.newest.store(node, std::memory_order_release);
  slot.key.store(key, std::memory_order_release);
}

void OpenIndex::rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) const {
  const Slot& slot = slot_of(key);
  if (slot.key.load(std::memory_order_acquire) == 0) return;
  const size_t before = rows.size();
  for (uint32_t n = slot.newest.load(std::memory_order_acquire); n != 0; n = nodes_[n].next) {
    if (nodes_[n].row < row_end) rows.push_back(nodes_[n].row);
  }
  std::reverse(rows.begin() + static_cast<ptrdiff_t>(before), rows.end());
}

}  // namespace portbook
