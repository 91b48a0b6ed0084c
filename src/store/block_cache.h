// What questions keep of sealed blocks: decoded columns, which scans read, and packed ones, of which single rows are read.
#pragma once

#include <cstdint>

#include "store/columns.h"
#include "store/packed_segment.h"
#include "store/recently_used.h"

namespace portbook {

inline constexpr size_t kBlockCacheBytes = 256 * 1024 * 1024;

// Thread-safe. By the index of a block's first record. A scan decodes block after block, so the two kinds do not push each other
// out.
class BlockCache {
 public:
  // Decoded columns take up to `bytes_max` bytes, packed ones up to half as many beside them.
  explicit BlockCache(size_t bytes_max) : columns_(bytes_max), packed_(bytes_max / 2) {}

  // The columns of the block that begins there; null when they are not here.
  std::shared_ptr<const Columns> find(uint64_t first_index) { return columns_.find(first_index); }
  void put(uint64_t first_index, const std::shared_ptr<const Columns>& columns) {
    columns_.put(first_index, columns, columns->storage().bytes_used(columns->rows()));
  }

  std::shared_ptr<PackedSegment> find_packed(uint64_t first_index) { return packed_.find(first_index); }
  // Returns the one that stays.
  std::shared_ptr<PackedSegment> put_packed(uint64_t first_index, std::shared_ptr<PackedSegment> segment) {
    const size_t bytes = segment->bytes_max();
    return packed_.put(first_index, std::move(segment), bytes);
  }

 private:
  RecentlyUsed<const Columns> columns_;
  RecentlyUsed<PackedSegment> packed_;
};

}  // namespace portbook
