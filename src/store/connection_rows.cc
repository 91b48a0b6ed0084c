#include "store/connection_rows.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

Kind kind_of(const Columns& columns, uint32_t row) {
  return static_cast<Kind>(columns.uint(row, Field::kKind));
}
bool ends(Kind kind) {
  return kind == Kind::kClose || kind == Kind::kFailed;
}

// Calls visit(row, kind) for each of the first `rows` rows that may be a connection, ascending.
template <typename Visit>
Status each_connection_row(const Columns& columns, uint32_t rows, Visit visit) {
  for (uint32_t row = 0; row < rows; ++row) {
    if (!columns.has(row, Field::kKind) || !is_connection_kind(columns, row)) continue;
    if (Status done = visit(row, kind_of(columns, row)); !done) return done;
  }
  return {};
}

// What the records of one connection in blocks that are not settled say.
struct ConnFacts {
  bool ended = false;
  bool opened = false;
  uint64_t last_existing = 0;
};

}  // namespace

bool is_connection_kind(const Columns& columns, uint32_t row) {
  switch (kind_of(columns, row)) {
    case Kind::kOpen:
    case Kind::kClose:
    case Kind::kFailed: return true;
    case Kind::kExisting:
      return !columns.has(row, Field::kVantage) || columns.uint(row, Field::kVantage) == static_cast<uint64_t>(Vantage::kSocket);
    default: return false;
  }
}

Result<std::shared_ptr<const MainRows>> ConnectionRows::of(const View& view, std::chrono::steady_clock::time_point stop_at) {
  const std::unique_lock lock(mutex_, stop_at);
  const auto blocks = view.blocks();
  if (!lock || too_many_ || blocks.empty()) return nullptr;
  if (!begun_) {
    begin_at(view.first_index());
    ends_.reserve(std::min<size_t>(blocks.size() * kBlockRowsMax / 2, kEndsMax));  // half of the records are ends
  }
  if (view.size() < end_ || view.first_index() < first_) return nullptr;
  if (last_ && last_first_ == view.first_index() && last_size_ == view.size()) return last_;
  drop_below(view.first_index());
  size_t settled = 0;
  for (; settled < blocks.size(); ++settled) {
    const BlockRef& ref = blocks[settled];
    if (ref.block->first_index() < end_) {
      // An older view of a block that was sealed short since: it shows more rows of it than were taken in.
      if (ref.block->first_index() + ref.rows > end_) return nullptr;
      continue;
    }
    if (ref.block->sealed_rows() != ref.rows) break;
    if (starts_.size() > kOpenMax || ends_.size() > kEndsMax) {
      begin_at(0);
      too_many_ = true;
      return nullptr;
    }
    if (std::chrono::steady_clock::now() >= stop_at) return nullptr;
    if (Status taken = take_in(view, ref); !taken) return std::unexpected(taken.error());
  }
  auto rows = with_open_blocks(view, settled);
  if (!rows) return rows;
  last_first_ = view.first_index();
  last_size_ = view.size();
  return last_ = std::move(*rows);
}

// Forgets everything.
void ConnectionRows::begin_at(uint64_t first_index) {
  blocks_.clear();
  starts_.clear();
  ends_ = {};
  last_ = nullptr;
  first_ = end_ = first_index;
  begun_ = true;
}

void ConnectionRows::drop_below(uint64_t first_index) {
  if (first_index == first_) return;
  first_ = first_index;
  end_ = std::max(end_, first_index);
  const auto kept = std::ranges::find_if(blocks_, [&](const SettledBlock& one) { return one.first_index >= first_index; });
  blocks_.erase(blocks_.begin(), kept);
  std::erase_if(starts_, [&](const auto& one) { return one.second.index < first_index; });
}

Status ConnectionRows::take_in(const View& view, const BlockRef& ref) {
  const auto columns = ref.block->columns(kConnectionFields);
  if (!columns) return std::unexpected(columns.error());
  const uint64_t first = ref.block->first_index();
  PB_CHECK(first == end_);
  std::vector<uint8_t> is_row(ref.rows);
  std::vector<uint64_t> superseded;  // of blocks before this one
  auto open = std::make_shared<OpenRows>();
  const auto leave_out = [&](uint64_t index) {
    if (index >= first) {
      is_row[index - first] = 0;
    } else {
      superseded.push_back(index);
    }
  };
  const Status read = each_connection_row(**columns, ref.rows, [&](uint32_t row, Kind kind) -> Status {
    const bool named = (*columns)->has(row, Field::kConn);
    is_row[row] = !ends(kind);
    if (!named) return {};
    const Id128 conn = (*columns)->id128(row, Field::kConn);
    const uint64_t index = first + row;
    const RowKey key = conn_key(conn);
    bool late = false;
    if (!ends(kind) && ends_.may_have(key)) {
      const auto found = superseded_before(view, conn, kind, index);
      if (!found) return std::unexpected(found.error());
      late = *found;
    }
    const auto [begin, end] = starts_.equal_range(conn);
    for (auto one = begin; one != end;) {
      late = late || supersedes(one->second.kind, one->second.index, kind, index);
      if (supersedes(kind, index, one->second.kind, one->second.index)) {
        leave_out(one->second.index);
        one = starts_.erase(one);
      } else {
        ++one;
      }
    }
    if (ends(kind)) {
      ends_.add(key);
    } else if (late) {
      is_row[row] = 0;
      open->late.push_back(static_cast<uint16_t>(row));
    } else {
      starts_.emplace(conn, Start{index, kind});
    }
    return {};
  });
  if (!read) {
    begin_at(first_);  // what was taken in of this block is not the whole of it
    return read;
  }
  for (uint32_t row = 0; row < ref.rows; ++row) {
    if (is_row[row] != 0) open->rows.push_back(static_cast<uint16_t>(row));
  }
  blocks_.push_back({first, std::move(open)});
  remove(superseded, blocks_);
  end_ = first + ref.rows;
  return {};
}

// Whether a record before `index` makes an open or existing one of that connection no row.
Result<bool> ConnectionRows::superseded_before(const View& view, const Id128& conn, Kind kind, uint64_t index) {
  bool found = false;
  const Status looked = view.for_each_with(conn_key(conn), [&](uint64_t other, const Record& record) {
    found = other < index && record.has(Field::kConn) && record.id128(Field::kConn) == conn &&
            supersedes(record.kind(), other, kind, index);
    return !found;
  });
  if (!looked) return std::unexpected(looked.error());
  return found;
}

void ConnectionRows::remove(std::vector<uint64_t>& superseded, std::vector<SettledBlock>& blocks) {
  std::ranges::sort(superseded);
  auto next = superseded.begin();
  while (next != superseded.end()) {
    const auto after = std::ranges::upper_bound(blocks, *next, {}, &SettledBlock::first_index);
    SettledBlock& block = *std::prev(after);
    const uint64_t end = after == blocks.end() ? UINT64_MAX : after->first_index;
    auto changed = std::make_shared<OpenRows>(OpenRows{{}, block.open->late});
    for (const uint16_t row : block.open->rows) {
      while (next != superseded.end() && *next < block.first_index + row) ++next;
      if (next == superseded.end() || *next != block.first_index + row) changed->rows.push_back(row);
    }
    while (next != superseded.end() && *next < end) ++next;
    block.open = std::move(changed);
  }
}

Result<std::shared_ptr<const MainRows>> ConnectionRows::with_open_blocks(const View& view, size_t settled) {
  const auto open_blocks = view.blocks().subspan(settled);
  std::vector<std::shared_ptr<const Columns>> columns;
  std::unordered_map<Id128, ConnFacts, ConnHash> facts;
  for (const BlockRef& ref : open_blocks) {
    auto read = ref.block->columns(kConnectionFields);
    if (!read) return std::unexpected(read.error());
    columns.push_back(std::move(*read));
    const Columns& here = *columns.back();
    const Status done = each_connection_row(here, ref.rows, [&](uint32_t row, Kind kind) -> Status {
      if (!here.has(row, Field::kConn)) return {};
      ConnFacts& one = facts[here.id128(row, Field::kConn)];
      one.ended = one.ended || ends(kind);
      one.opened = one.opened || kind == Kind::kOpen;
      if (kind == Kind::kExisting) one.last_existing = ref.block->first_index() + row;
      return {};
    });
    if (!done) return std::unexpected(done.error());
  }
  std::vector<SettledBlock> blocks = blocks_;
  std::vector<uint64_t> superseded;
  for (const auto& [conn, fact] : facts) {
    const auto [begin, end] = starts_.equal_range(conn);
    for (auto one = begin; one != end; ++one) {
      if (fact.ended || (one->second.kind == Kind::kExisting && (fact.opened || fact.last_existing > 0)))
        superseded.push_back(one->second.index);
    }
  }
  remove(superseded, blocks);
  for (size_t i = 0; i < open_blocks.size(); ++i) {
    const Columns& here = *columns[i];
    const uint64_t first = open_blocks[i].block->first_index();
    auto open = std::make_shared<OpenRows>();
    const Status done = each_connection_row(here, open_blocks[i].rows, [&](uint32_t row, Kind kind) -> Status {
      if (ends(kind)) return {};
      if (here.has(row, Field::kConn)) {
        const Id128 conn = here.id128(row, Field::kConn);
        const ConnFacts& fact = facts.at(conn);
        if (fact.ended || (kind == Kind::kExisting && (fact.opened || fact.last_existing > first + row))) return {};
        const auto [begin, end] = starts_.equal_range(conn);
        if (std::any_of(begin, end,
                        [&](const auto& one) { return supersedes(one.second.kind, one.second.index, kind, first + row); }))
          return {};
        if (ends_.may_have(conn_key(conn))) {
          const auto found = superseded_before(view, conn, kind, first + row);
          if (!found) return std::unexpected(found.error());
          if (*found) return {};
        }
      }
      open->rows.push_back(static_cast<uint16_t>(row));
      return {};
    });
    if (!done) return std::unexpected(done.error());
    blocks.push_back({first, std::move(open)});
  }
  auto rows = std::make_shared<MainRows>();
  for (SettledBlock& one : blocks) rows->push_back(std::move(one.open));
  PB_CHECK(rows->size() == view.blocks().size());
  return rows;
}

}  // namespace portbook
