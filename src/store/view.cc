#include "store/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace portbook {

View::View(uint64_t size, std::vector<BlockRef> blocks)
    : size_(size), blocks_(std::make_shared<const std::vector<BlockRef>>(std::move(blocks))) {}

std::span<const BlockRef> View::blocks() const {
  if (!blocks_) return {};
  return *blocks_;
}

uint64_t View::first_index() const {
  return blocks().empty() ? size_ : blocks().front().block->first_index();
}

Status View::read(uint64_t index, Record& record) const {
  if (index >= size_)
    return fail(ErrorCode::kNotFound, fmt::format("there is no record {}: the book has {} records", index, size_));
  if (index < first_index()) return fail(ErrorCode::kNotFound, fmt::format("record {} is no longer kept", index));
  const auto after = std::ranges::upper_bound(blocks(), index, {}, [](const BlockRef& ref) { return ref.block->first_index(); });
  const BlockRef& ref = *std::prev(after);
  return ref.block->read_row(static_cast<uint32_t>(index - ref.block->first_index()), record);
}

Status View::for_each_with(RowKey key, const Visit& visit) const {
  std::vector<uint32_t> rows;
  for (size_t i = blocks().size(); i-- > 0;) {
    const BlockRef& ref = blocks()[i];
    rows.clear();
    if (Status found = ref.block->rows_with(key, ref.rows, rows); !found) return found;
    if (rows.empty()) continue;
    const auto columns = ref.block->columns();
    if (!columns) return std::unexpected(columns.error());
    for (size_t k = rows.size(); k-- > 0;) {
      if (!visit(ref.block->first_index() + rows[k], **columns, rows[k])) return {};
    }
  }
  return {};
}

}  // namespace portbook
