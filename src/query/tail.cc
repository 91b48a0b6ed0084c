#include "query/tail.h"

#include <fmt/format.h>

#include <algorithm>

namespace portbook {

namespace {

// The main record that a connection has now, for a row that is not one itself; nothing when it has none yet.
std::optional<Indexed> main_of(Joins& joins, const Id128& conn) {
  std::optional<Indexed> main;
  for (const Indexed& one : joins.records_of(conn)) {
    const Kind kind = one.record.kind();
    const bool ends = kind == Kind::kClose || kind == Kind::kFailed;
    if (ends) return one;
    if (kind == Kind::kOpen || (kind == Kind::kExisting && !main)) main = one;
  }
  return main;
}

}  // namespace

Result<bool> Tail::advance(const View& view, uint32_t rows_max, const Emit& emit) {
  if (next_ >= view.size()) return true;
  if (next_ < view.first_index()) {
    return fail(ErrorCode::kNotFound,
                fmt::format("record {} was dropped by retention; the first kept is {}", next_, view.first_index()));
  }
  Joins joins(view);
  Evaluator evaluator(filter_, joins, reading_);
  const auto blocks = view.blocks();
  const auto after = std::ranges::upper_bound(blocks, next_, {}, [](const BlockRef& ref) { return ref.block->first_index(); });
  const BlockRef& ref = *(after - 1);
  const uint64_t first = ref.block->first_index();
  const auto low = static_cast<uint32_t>(next_ - first);
  const uint32_t high = std::min(ref.rows, low + rows_max);
  const FieldSet wanted = evaluator.wanted();
  auto columns = ref.block->columns(wanted);
  if (!columns) return std::unexpected(columns.error());
  Record record;
  for (uint32_t row = low; row < high; ++row) {
    const Columns& here = **columns;
    uint64_t main_index = first + row;
    bool is_row = reading_ == Reading::kRecords || is_connection_kind(here, row);
    const bool used_by = reading_ == Reading::kConnections && here.has(row, Field::kConn) &&
                         here.uint(row, Field::kKind) == static_cast<uint64_t>(Kind::kUsedBy);
    if (used_by) {
      // The connection is known better now: its row is sent again, as it stands.
      const auto main = main_of(joins, here.id128(row, Field::kConn));
      is_row = main.has_value() && main->index < first + row;
      if (is_row) main_index = main->index;
    }
    next_ = first + row + 1;
    if (!is_row) continue;
    const BlockRef& main_ref =
        *(std::ranges::upper_bound(blocks, main_index, {}, [](const BlockRef& one) { return one.block->first_index(); }) - 1);
    auto main_columns = main_ref.block->columns(wanted);
    if (!main_columns) return std::unexpected(main_columns.error());
    const uint64_t main_first = main_ref.block->first_index();
    std::vector<uint32_t> rows = {static_cast<uint32_t>(main_index - main_first)};
    evaluator.keep_matching(**main_columns, main_first, rows);
    if (rows.empty()) continue;
    if (Status read = main_ref.block->read_row(rows.front(), record); !read) return std::unexpected(read.error());
    emit(reading_ == Reading::kConnections ? connection_row(joins, main_index, record) : record_row(joins, main_index, record),
         next_);
  }
  if (!joins.status()) return std::unexpected(joins.status().error());
  return next_ >= view.size();
}

}  // namespace portbook
