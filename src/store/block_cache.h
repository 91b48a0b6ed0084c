// What questions keep of sealed blocks: decoded columns, which scans read, and packed ones, of which single rows are read.
#pragma once

#include <cstdint>

#include "store/columns.h"
#include "store/narrow_columns.h"
#include "store/packed_segment.h"
#include "store/recently_used.h"

namespace portbook {

inline constexpr size_t kBlockCacheBytes = 256 * 1024 * 1024;

// The columns of one block that somebody asked for so far.
struct DecodedBlock {
  std::mutex mutex;                  // held while columns are added, so that each is decoded once
  std::shared_ptr<Columns> columns;  // under `mutex`; null before the first were decoded
};

// The same as narrow ones.
struct NarrowBlock {
  std::mutex mutex;                              // held while columns are added
  std::shared_ptr<const NarrowColumns> columns;  // under `mutex`; null before the first
};

// Thread-safe. By the index of a block's first record. A scan decodes block after block, so the kinds do not push each other
// out.
class BlockCache {
 public:
  // Up to three times `bytes_max` bytes: half of that for packed columns, a quarter of `bytes_max` for decoded ones, which walk
  // through a whole book anyway, the rest for narrow ones, which are to stay.
  explicit BlockCache(size_t bytes_max)
      : decoded_(bytes_max / 4), packed_(bytes_max + bytes_max / 2), narrow_(bytes_max + bytes_max / 4) {}

  // The block that begins there, new and empty if it is not here.
  std::shared_ptr<DecodedBlock> decoded(uint64_t first_index) {
    if (auto known = decoded_.find(first_index)) return known;
    return decoded_.put(first_index, std::make_shared<DecodedBlock>(), sizeof(DecodedBlock));
  }
  // Says how many bytes the block takes now, for whoever added columns.
  void grown(uint64_t first_index, const std::shared_ptr<DecodedBlock>& block, size_t bytes) {
    decoded_.grown(first_index, block, sizeof(DecodedBlock) + bytes);
  }
  // Bytes of all decoded blocks that are here.
  [[nodiscard]] size_t decoded_bytes() const { return decoded_.bytes(); }

  // Likewise of narrow columns.
  std::shared_ptr<NarrowBlock> narrow(uint64_t first_index) {
    if (auto known = narrow_.find(first_index)) return known;
    return narrow_.put(first_index, std::make_shared<NarrowBlock>(), sizeof(NarrowBlock));
  }
  void narrow_grown(uint64_t first_index, const std::shared_ptr<NarrowBlock>& block, size_t bytes) {
    narrow_.grown(first_index, block, sizeof(NarrowBlock) + bytes);
  }
  [[nodiscard]] size_t narrow_bytes() const { return narrow_.bytes(); }

  std::shared_ptr<PackedSegment> find_packed(uint64_t first_index) { return packed_.find(first_index); }
  // Returns the one that stays.
  std::shared_ptr<PackedSegment> put_packed(uint64_t first_index, std::shared_ptr<PackedSegment> segment) {
    const size_t bytes = segment->bytes_used();
    return packed_.put(first_index, std::move(segment), bytes);
  }
  // Says how many bytes it takes now, for whoever had sections read.
  void packed_grown(uint64_t first_index, const std::shared_ptr<PackedSegment>& segment) {
    packed_.grown(first_index, segment, segment->bytes_used());
  }
  [[nodiscard]] size_t packed_bytes() const { return packed_.bytes(); }

 private:
  RecentlyUsed<DecodedBlock> decoded_;
  RecentlyUsed<PackedSegment> packed_;
  RecentlyUsed<NarrowBlock> narrow_;
};

}  // namespace portbook
