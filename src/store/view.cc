#include "store/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "store/index_run.h"

namespace portbook {

namespace {

constexpr size_t kReadSinglyMax = 64;  // rows of a block; from more on the block is decoded once for all of them

// Newest first; `more` becomes false when visit wants no more.
Status visit_rows(Block& block, std::span<const uint32_t> rows, const FieldSet& wanted, uint64_t from, const View::Visit& visit,
                  bool& more) {
  std::shared_ptr<const Columns> columns;
  if (rows.size() > kReadSinglyMax) {
    auto decoded = block.columns(wanted);
    if (!decoded) return std::unexpected(decoded.error());
    columns = std::move(*decoded);
  }
  Record record;
  for (size_t k = rows.size(); more && k-- > 0;) {
    const uint64_t index = block.first_index() + rows[k];
    if (index < from) break;
    if (columns) {
      columns->read(rows[k], wanted, record);
    } else if (Status read = block.read_row(rows[k], record); !read) {
      return read;
    }
    more = visit(index, record);
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const NarrowColumns>> Block::narrow(const FieldSet&) {
  return nullptr;
}

View::View(uint64_t size, std::vector<BlockRef> blocks, std::shared_ptr<const RunList> runs,
           std::shared_ptr<ConnectionRows> connections, std::shared_ptr<const Dropped> dropped)
    : size_(size),
      blocks_(std::make_shared<const std::vector<BlockRef>>(std::move(blocks))),
      runs_(std::move(runs)),
      connections_(std::move(connections)),
      dropped_(std::move(dropped)) {}

View View::first_records(uint64_t size) const {
  if (size >= size_) return *this;
  std::vector<BlockRef> refs;
  for (const BlockRef& ref : blocks()) {
    const uint64_t first = ref.block->first_index();
    if (first >= size) break;
    refs.push_back({ref.block, static_cast<uint32_t>(std::min<uint64_t>(ref.rows, size - first))});
  }
  return {size, std::move(refs), runs_, connections_, dropped_};
}

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

// Visits what the run says of the blocks up to `block`, which is one of its; returns how many blocks stand before the run's.
size_t View::walk_run(const IndexRun& run, size_t block, RowKey key, const Wanted& wanted, const VisitBlock& visit,
                      bool& more) const {
  const auto newest = std::ranges::lower_bound(run.blocks(), blocks()[block].block->first_index(), {}, &RunBlock::first_index);
  PB_CHECK(newest != run.blocks().end() && newest->first_index == blocks()[block].block->first_index());
  const auto ordinal = static_cast<size_t>(newest - run.blocks().begin());
  std::vector<KeyPlace> places;
  if (!run.find(key, places)) return block + 1;  // its blocks are asked themselves
  for (size_t i = places.size(); more && i-- > 0;) {
    const auto [at, marks] = places[i];
    // Older ones of the run may have been dropped, newer ones may lie behind the view.
    if (at > ordinal || ordinal - at > block) continue;
    const size_t found = block - (ordinal - at);
    const KeySpan span = span_of(run.blocks()[at].begins, run.blocks()[at].ends, marks);
    if (!span.meets(wanted.from, wanted.to) || (wanted.marks != 0 && (marks & wanted.marks) == 0)) continue;
    if (blocks()[found].block->first_index() + blocks()[found].rows <= wanted.index_from) break;
    more = visit({found, span});
  }
  return block - std::min(block, ordinal);
}

void View::walk(RowKey key, const Wanted& wanted, const VisitBlock& visit) const {
  size_t run = runs_ ? runs_->size() : 0;
  bool more = true;
  for (size_t i = blocks().size(); more && i > 0;) {
    const BlockRef& ref = blocks()[i - 1];
    const uint64_t first = ref.block->first_index();
    if (first + ref.rows <= wanted.index_from) return;
    while (run > 0 && (*runs_)[run - 1]->first_index() > first) --run;
    const bool indexed = run > 0 && (*runs_)[run - 1]->end_index() > first;
    if (indexed) {
      const size_t before = walk_run(*(*runs_)[run - 1], i - 1, key, wanted, visit, more);
      if (before < i) {
        i = before;
        continue;
      }
    }
    more = more && visit({i - 1, {}});
    --i;
  }
}

std::vector<View::KeyBlock> View::blocks_with(RowKey key, const Wanted& wanted) const {
  std::vector<KeyBlock> found;
  walk(key, wanted, [&](const KeyBlock& block) {
    found.push_back(block);
    return true;
  });
  return found;
}

Status View::for_each_in(const KeyBlock& block, RowKey key, const Visit& visit, bool& more, uint64_t index_from) const {
  const BlockRef& ref = blocks()[block.block];
  std::vector<uint32_t> rows;
  if (Status found = ref.block->rows_with(key, ref.rows, rows); !found) return found;
  return visit_rows(*ref.block, rows, kEveryField, index_from, visit, more);
}

Status View::for_rows_of(size_t block, std::span<const uint32_t> rows, const FieldSet& wanted, const Visit& visit,
                         bool& more) const {
  return visit_rows(*blocks()[block].block, rows, wanted, 0, visit, more);
}

Status View::for_each_with(RowKey key, const Visit& visit, const Wanted& wanted) const {
  Status status;
  walk(key, wanted, [&](const KeyBlock& block) {
    bool more = true;
    status = for_each_in(block, key, visit, more, wanted.index_from);
    return more && status.has_value();
  });
  return status;
}

}  // namespace portbook
