#include "store/open_index.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/check.h"
#include "store/row_keys.h"

namespace portbook {

namespace {

constexpr size_t kNodes = size_t{kBlockRowsMax} * kRowKeysMax + 1;
constexpr size_t kSmallSlots = 1U << 13;
constexpr uint32_t kSmallNodes = kSmallSlots / 2;
constexpr size_t kLargeSlots = 1U << 20;  // a full block has fewer keys than three quarters of it
static_assert(kNodes < kLargeSlots * 3 / 4);

// Fresh pages are zero: free slots, without touching them.
void* reserve(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PB_CHECK(memory != MAP_FAILED);
  return memory;
}

}  // namespace

OpenIndex::OpenIndex()
    : small_{static_cast<Slot*>(reserve(kSmallSlots * sizeof(Slot))), kSmallSlots - 1},
      table_(&small_),
      nodes_(static_cast<Node*>(reserve(kNodes * sizeof(Node)))),
      adding_(&small_) {
  static_assert(std::atomic<RowKey>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);
}

OpenIndex::~OpenIndex() {
  munmap(small_.slots, kSmallSlots * sizeof(Slot));
  if (large_.slots != nullptr) munmap(large_.slots, kLargeSlots * sizeof(Slot));
  munmap(nodes_, kNodes * sizeof(Node));
}

OpenIndex::Slot& OpenIndex::Table::slot_of(RowKey key) const {
  for (size_t i = key & mask;; i = (i + 1) & mask) {
    const RowKey found = slots[i].key.load(std::memory_order_acquire);
    if (found == key || found == 0) return slots[i];
  }
}

void OpenIndex::grow() {
  large_ = {static_cast<Slot*>(reserve(kLargeSlots * sizeof(Slot))), kLargeSlots - 1};
  // Keys are spread over all of it at once. As small pages each would cost two faults, one when it is looked at and one when it is
  // written. Where either call fails it goes on like that.
  madvise(large_.slots, kLargeSlots * sizeof(Slot), MADV_HUGEPAGE);
  madvise(large_.slots, kLargeSlots * sizeof(Slot), MADV_POPULATE_WRITE);
  for (size_t i = 0; i <= small_.mask; ++i) {
    const RowKey key = small_.slots[i].key.load(std::memory_order_relaxed);
    if (key == 0) continue;
    Slot& slot = large_.slot_of(key);
    slot.newest.store(small_.slots[i].newest.load(std::memory_order_relaxed), std::memory_order_relaxed);
    slot.key.store(key, std::memory_order_relaxed);
  }
  adding_ = &large_;
  table_.store(&large_, std::memory_order_release);
}

void OpenIndex::add(RowKey key, uint16_t row) {
  PB_CHECK(node_count_ < kNodes);
  if (node_count_ == kSmallNodes) grow();
  Slot& slot = adding_->slot_of(key);
  const uint32_t node = node_count_++;
  nodes_[node] = {slot.newest.load(std::memory_order_relaxed), row};
  // The node before its place in the chain, the chain before its key: a reader finds whole ones only.
  slot.newest.store(node, std::memory_order_release);
  slot.key.store(key, std::memory_order_release);
}

void OpenIndex::rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) const {
  const Slot& slot = table_.load(std::memory_order_acquire)->slot_of(key);
  if (slot.key.load(std::memory_order_acquire) == 0) return;
  const size_t before = rows.size();
  for (uint32_t n = slot.newest.load(std::memory_order_acquire); n != 0; n = nodes_[n].next) {
    if (nodes_[n].row < row_end) rows.push_back(nodes_[n].row);
  }
  std::reverse(rows.begin() + static_cast<ptrdiff_t>(before), rows.end());
}

}  // namespace portbook
