// Decoded sealed blocks, the ones used last, up to a number of bytes.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "store/columns.h"

namespace portbook {

inline constexpr size_t kBlockCacheBytes = 256 * 1024 * 1024;

// Thread-safe. What it drops lives on while a question holds it: columns are shared between the cache and its readers.
class BlockCache {
 public:
  explicit BlockCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  // The columns of the block that begins there; null when they are not here.
  std::shared_ptr<const Columns> find(uint64_t first_index);
  void put(uint64_t first_index, std::shared_ptr<const Columns> columns);

 private:
  struct Entry {
    uint64_t first_index = 0;
    size_t bytes = 0;
    std::shared_ptr<const Columns> columns;
  };

  const size_t bytes_max_;
  std::mutex mutex_;
  size_t bytes_ = 0;
  std::list<Entry> entries_;  // used last comes first
  std::unordered_map<uint64_t, std::list<Entry>::iterator> by_index_;
};

}  // namespace portbook
