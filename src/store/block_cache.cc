#include "store/block_cache.h"

#include <utility>

namespace portbook {

std::shared_ptr<const Columns> BlockCache::find(uint64_t first_index) {
  const std::lock_guard lock(mutex_);
  const auto found = by_index_.find(first_index);
  if (found == by_index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->columns;
}

void BlockCache::put(uint64_t first_index, std::shared_ptr<const Columns> columns) {
  const size_t bytes = columns->storage().bytes_used(columns->rows());
  const std::lock_guard lock(mutex_);
  if (by_index_.contains(first_index)) return;  // two readers decoded it at once
  entries_.push_front({first_index, bytes, std::move(columns)});
  by_index_.emplace(first_index, entries_.begin());
  bytes_ += bytes;
  while (bytes_ > bytes_max_ && entries_.size() > 1) {
    bytes_ -= entries_.back().bytes;
    by_index_.erase(entries_.back().first_index);
    entries_.pop_back();
  }
}

}  // namespace portbook
