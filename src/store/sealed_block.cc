#include "store/sealed_block.h"

#include <utility>

#include "base/check.h"

namespace portbook {

Result<std::shared_ptr<const Columns>> SealedBlock::columns() {
  if (auto known = cache_.find(footer_.first_index)) return known;
  const std::string name = segment_file_name(footer_.first_index);
  const auto file = disk_.open_to_read(name);
  if (!file) return std::unexpected(file.error());
  auto decoded = read_segment_columns(**file, footer_);
  if (!decoded) return fail_in(name, decoded);
  std::shared_ptr<const Columns> columns = std::move(*decoded);
  cache_.put(footer_.first_index, columns);
  return columns;
}

Status SealedBlock::read_row(uint32_t row, Record& record) {
  PB_CHECK(row < footer_.rows);
  auto packed = cache_.find_packed(footer_.first_index);
  if (!packed) packed = cache_.put_packed(footer_.first_index, std::make_shared<PackedSegment>(disk_, footer_));
  return packed->read(row, record);
}

Status SealedBlock::rows_with(RowKey key, uint32_t row_end, std::vector<uint32_t>& rows) {
  const std::string name = segment_file_name(footer_.first_index);
  const auto file = disk_.open_to_read(name);
  if (!file) return std::unexpected(file.error());
  if (Status found = find_in_segment(**file, footer_, key, row_end, rows); !found) return fail_in(name, found);
  return {};
}

}  // namespace portbook
