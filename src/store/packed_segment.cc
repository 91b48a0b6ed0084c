#include "store/packed_segment.h"

#include <utility>

#include "base/check.h"
#include "store/sealed_index.h"

namespace portbook {

PackedSegment::PackedSegment(std::shared_ptr<SegmentSource> source, const SegmentFooter& footer)
    : source_(std::move(source)), rows_(footer.rows), sections_(footer.columns), bytes_used_(sizeof(*this)) {}

// Of the fields that the row needs.
FieldSet PackedSegment::missing(uint32_t row) const {
  FieldSet missing;
  with_near_fields(block_->shapes().fields(row)).for_each([&](Field field) {
    if (block_->shapes().all().has(field) && !block_->holds(field)) missing.add(field);
  });
  return missing;
}

Status PackedSegment::load_section(File& file, const SegmentSection& section) {
  auto bytes = read_segment_section(file, section);
  if (!bytes) return std::unexpected(bytes.error());
  if (section.field) {
    if (Status added = block_->add(*section.field, *bytes); !added) return added;
  } else {
    auto block = PackedBlock::open(*bytes, rows_);
    if (!block) return std::unexpected(block.error());
    block_ = std::move(*block);
    bytes_used_ += rows_ * (sizeof(uint16_t) + sizeof(uint16_t));  // the rows' shapes, and places in the tables
  }
  bytes_used_ += bytes->size() + bytes->size() / 8;
  bytes_.push_back(std::move(*bytes));  // they stay where they are
  return {};
}

Status PackedSegment::load(uint32_t row) {
  const auto file = source_->open();
  if (!file) return std::unexpected(file.error());
  if (!block_) {
    if (sections_.empty() || sections_[0].field) return bad_column(std::nullopt);
    if (Status loaded = load_section(**file, sections_[0]); !loaded) return loaded;
  }
  FieldSet wanted = missing(row);
  for (const SegmentSection& section : sections_) {
    if (!section.field || !wanted.has(*section.field)) continue;
    wanted.remove(*section.field);
    if (Status loaded = load_section(**file, section); !loaded) return loaded;
  }
  std::optional<Field> absent;
  wanted.for_each([&](Field field) { absent = field; });
  if (absent) return bad_column(absent);
  return {};
}

Status PackedSegment::read(uint32_t row, Record& record) {
  PB_CHECK(row < rows_);
  const std::lock_guard lock(mutex_);
  if (!block_ || missing(row).size() > 0) {
    if (Status loaded = load(row); !loaded) return fail_in(source_->name(), loaded);
  }
  if (Status got = block_->read(row, record); !got) return fail_in(source_->name(), got);
  return {};
}

Status PackedSegment::rows_with(const SegmentFooter& footer, RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) {
  const size_t page = index_page_of(key);
  const std::lock_guard lock(mutex_);
  if (pages_.empty()) {
    pages_.resize(kIndexPages);
    bytes_used_ += kIndexPages * sizeof(pages_[0]);
  }
  if (!pages_[page]) {
    const auto file = source_->open();
    if (!file) return std::unexpected(file.error());
    auto bytes = read_index_page(**file, footer, page);
    if (!bytes) return fail_in(source_->name(), bytes);
    bytes_used_ += bytes->size();
    pages_[page] = std::move(*bytes);
  }
  if (find_in_index_page(*pages_[page], key, row_end, rows)) return {};
  return fail_in(source_->name(), Status(bad_index_page(footer, page)));
}

}  // namespace portbook
