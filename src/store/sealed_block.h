// A block that stands in a segment file.
#pragma once

#include <memory>

#include "store/block_cache.h"
#include "store/disk.h"
#include "store/segment.h"
#include "store/segment_source.h"
#include "store/view.h"

namespace portbook {

// Thread-safe. Opens its file when it is asked something, so that many blocks need few file descriptors; once it is to be removed,
// hold() keeps it open for those who still read.
class SealedBlock final : public Block {
 public:
  // Disk and cache must live as long as the block.
  SealedBlock(Disk& disk, BlockCache& cache, SegmentFooter footer)
      : source_(std::make_shared<SegmentSource>(disk, footer.first_index)), cache_(cache), footer_(std::move(footer)) {}

  // To be called before its file is removed: it can be read as long as it lives. Errors: kIo, kNotFound.
  Status hold() { return source_->hold(); }
  [[nodiscard]] bool is_dropped() const override { return source_->is_held(); }

  [[nodiscard]] uint64_t first_index() const override { return footer_.first_index; }
  [[nodiscard]] TimeNs time_min() const override { return footer_.time_min; }
  [[nodiscard]] TimeNs time_max() const override { return footer_.time_max; }
  [[nodiscard]] const SegmentFooter& footer() const { return footer_; }
  [[nodiscard]] std::optional<uint32_t> sealed_rows() const override { return footer_.rows; }
  Result<std::shared_ptr<const Columns>> columns(const FieldSet& wanted) override;
  Result<std::shared_ptr<const NarrowColumns>> narrow(const FieldSet& fields) override;
  Status read_row(uint32_t row, Record& record) override;
  Status rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) override;

 private:
  // Adds what lacks to `columns`, or makes them.
  Status decode(const FieldSet& wanted, std::shared_ptr<Columns>& columns) const;

  template <typename Ask>
  Status ask_packed(Ask ask);

  const std::shared_ptr<SegmentSource> source_;  // shared with what the cache holds of this block
  BlockCache& cache_;
  const SegmentFooter footer_;
};

}  // namespace portbook
