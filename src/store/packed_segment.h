// A segment's packed columns and index pages in memory, read from its file as far as somebody asked for them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/packed_block.h"
#include "store/segment.h"
#include "store/segment_source.h"

namespace portbook {

// Thread-safe. A section or page is read into memory once and its checksum checked then: what is served are bytes that were
// checked, whatever becomes of the file meanwhile.
class PackedSegment {
 public:
  // The footer need not live as long as the object. The source is shared with the block.
  PackedSegment(std::shared_ptr<SegmentSource> source, const SegmentFooter& footer);

  // Needs row < the segment's rows. Errors: kIo; kCorrupt with the offset; they name the file.
  Status read(uint32_t row, Record& record);

  // Appends the rows below `row_end` that carry `key`. `footer`: the segment's. Errors as above.
  Status rows_with(const SegmentFooter& footer, RowKey key, uint32_t row_end, std::vector<uint32_t>& rows);

  // What it takes in memory with the sections and pages that were read so far, roughly.
  [[nodiscard]] size_t bytes_used() const { return bytes_used_.load(std::memory_order_relaxed); }

 private:
  Status load(uint32_t row);
  Status load_section(File& file, const SegmentSection& section);
  [[nodiscard]] FieldSet missing(uint32_t row) const;

  const std::shared_ptr<SegmentSource> source_;
  const uint32_t rows_;
  const std::vector<SegmentSection> sections_;
  std::atomic<size_t> bytes_used_;
  std::mutex mutex_;          // guards what follows
  std::vector<Bytes> bytes_;  // of the sections that were read; the block borrows them
  std::unique_ptr<PackedBlock> block_;
  std::vector<std::optional<Bytes>> pages_;  // of the index; empty before the first was read
};

}  // namespace portbook
