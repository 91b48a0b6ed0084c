#include "store/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace portbook {

namespace {

constexpr size_t kReadSinglyMax = 64;  // rows of a block; from more on the block is decoded once for all of them

// Newest first; `more` becomes false when visit wants no more.
Status visit_rows(Block& block, std::span<const uint32_t> rows, uint64_t from, const View::Visit& visit, bool& more) {
  std::shared_ptr<const Columns> columns;
  if (rows.size() > kReadSinglyMax) {
    auto decoded = block.columns();
    if (!decoded) return std::unexpected(decoded.error());
    columns = std::move(*decoded);
  }
  Record record;
  for (size_t k = rows.size(); more && k-- > 0;) {
    const uint64_t index = block.first_index() + rows[k];
    if (index < from) break;
    if (columns) {
      columns->read(rows[k], record);
    } else if (Status read = block.read_row(rows[k], record); !read) {
      return read;
    }
    more = visit(index, record);
  }
  return {};
}

}  // namespace

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

Status View::for_each_with(RowKey key, const Visit& visit, uint64_t from) const {
  std::vector<uint32_t> rows;
  bool more = true;
  for (size_t i = blocks().size(); more && i-- > 0;) {
    const BlockRef& ref = blocks()[i];
    if (ref.block->first_index() + ref.rows <= from) break;
    rows.clear();
    if (Status found = ref.block->rows_with(key, ref.rows, rows); !found) return found;
    if (Status visited = visit_rows(*ref.block, rows, from, visit, more); !visited) return visited;
  }
  return {};
}

}  // namespace portbook
