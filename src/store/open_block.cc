#include "store/open_block.h"

#include "base/check.h"

namespace portbook {

OpenBlock::OpenBlock(uint64_t first_index, uint32_t rows_max)
    : first_index_(first_index), rows_max_(rows_max), columns_(std::make_shared<Columns>()) {
  PB_CHECK(rows_max > 0 && rows_max <= kBlockRowsMax);
}

void OpenBlock::shorten(uint32_t rows) {
  PB_CHECK(rows > 0 && rows <= appended());
  rows_max_ = rows;
}

void OpenBlock::append(const Record& record) {
  const auto row = static_cast<uint16_t>(columns_->appended());
  keys_.of(record);
  for (const RowKey key : keys_.all()) index_.prefetch(key);
  columns_->append(record);
  for (const RowKey key : keys_.all()) index_.add(key, row);
  if (record.has(Field::kReceived) && first_received_.load(std::memory_order_relaxed) == 0)
    first_received_.store(record.uint(Field::kReceived), std::memory_order_relaxed);
  if (!record.has(Field::kTime)) return;
  const TimeNs time = record.time();
  if (time < time_min_.load(std::memory_order_relaxed)) time_min_.store(time, std::memory_order_relaxed);
  if (time > time_max_.load(std::memory_order_relaxed)) time_max_.store(time, std::memory_order_relaxed);
}

Status OpenBlock::read_row(uint32_t row, Record& record) {
  PB_CHECK(row < columns_->rows());
  columns_->read(row, record);
  return {};
}

Status OpenBlock::rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) {
  index_.rows_with(key, row_end, rows);
  return {};
}

}  // namespace portbook
