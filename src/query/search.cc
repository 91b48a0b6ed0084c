#include "query/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

constexpr auto kPrepareForRows = std::chrono::milliseconds(20);
constexpr size_t kPinnedEndpointsMax = 1000;  // internal endpoints behind one external one

// The endpoint that a test pins to one address and port.
std::optional<Endpoint> pinned_endpoint(const Test& test) {
  if (test.subject != Subject::kEndpoint || test.addresses.size() != 1 || test.numbers.size() != 1) return std::nullopt;
  const NumberRange& port = test.numbers.front();
  if (!test.addresses.front().single() || port.low != port.high) return std::nullopt;
  return Endpoint{test.addresses.front().low, static_cast<uint16_t>(port.low)};
}

struct Pins {
  std::optional<Endpoint> endpoint;
  std::vector<Id128> conns;
  std::array<std::optional<Ip>, kFieldCount> addresses;
  std::array<std::optional<uint16_t>, kFieldCount> ports;
};

void collect_pins(const FilterNode& node, Pins& pins) {
  if (node.op == FilterNode::Op::kAll) {
    for (const FilterNode& child : node.children) collect_pins(child, pins);
  }
  if (node.op != FilterNode::Op::kTest) return;
  const Test& test = node.test;
  if (const auto endpoint = pinned_endpoint(test)) pins.endpoint = endpoint;
  if (test.subject != Subject::kField || test.any_value) return;
  if (test.field == Field::kConn) pins.conns = test.ids;
  if (test.addresses.size() == 1 && test.addresses.front().single())
    pins.addresses[index_of(test.field)] = test.addresses.front().low;
  if (info(test.field).type == FieldType::kPort && test.numbers.size() == 1 &&
      test.numbers.front().low == test.numbers.front().high) {
    pins.ports[index_of(test.field)] = static_cast<uint16_t>(test.numbers.front().low);
  }
}

}  // namespace

std::string to_text(const Cursor& cursor) {
  return fmt::format("{}.{}", cursor.size, cursor.below);
}

Result<Cursor> parse_cursor(std::string_view text) {
  Cursor cursor;
  const char* end = text.data() + text.size();
  const auto size = std::from_chars(text.data(), end, cursor.size);
  if (size.ec == std::errc{} && size.ptr != end && *size.ptr == '.') {
    const auto below = std::from_chars(size.ptr + 1, end, cursor.below);
    if (below.ec == std::errc{} && below.ptr == end && cursor.below <= cursor.size) return cursor;
  }
  return fail(ErrorCode::kBadInput, "the cursor is not one that a search gave");
}

Reading reading_of(const Filter& filter) {
  return filter.records_all || filter.asks_for_records ? Reading::kRecords : Reading::kConnections;
}

Search::Search(View view, Filter filter, std::optional<Cursor> cursor)
    : Search(std::move(view), std::make_shared<const Filter>(std::move(filter)), cursor) {}

Search::Search(View view, std::shared_ptr<const Filter> filter, std::optional<Cursor> cursor)
    : view_(cursor ? view.first_records(cursor->size) : std::move(view)),
      filter_(std::move(filter)),
      joins_(view_),
      reading_(reading_of(*filter_)),
      evaluator_(*filter_, joins_, reading_),
      narrow_filter_(NarrowFilter::of(*filter_, reading_, joins_)),
      wanted_(evaluator_.wanted()),
      start_range_(start_range(*filter_)),
      from_(view_.first_index()),
      below_(cursor ? std::min(cursor->below, view_.size()) : view_.size()) {
  pin_keys();
  if (!keys_) return;
  std::set<size_t> named;
  for (const RowKey key : *keys_) {
    for (const View::KeyBlock& block : view_.blocks_with(key)) named.insert(block.block);
  }
  key_blocks_.assign(named.begin(), named.end());
}

// Moves below_ to the end of the next block that may have one of the keys, or to the end of the search.
void Search::pass_over_blocks() {
  const auto blocks = view_.blocks();
  while (!key_blocks_.empty() && blocks[key_blocks_.back()].block->first_index() >= below_) key_blocks_.pop_back();
  if (key_blocks_.empty()) {
    below_ = from_;
    return;
  }
  const BlockRef& next = blocks[key_blocks_.back()];
  below_ = std::min(below_, next.block->first_index() + next.rows);
}

void Search::pin_keys() {
  Pins pins;
  collect_pins(filter_->root, pins);
  for (const auto& [ip, port] : kEndpointFields) {
    const auto& address = pins.addresses[index_of(ip)];
    const auto& number = pins.ports[index_of(port)];
    if (!pins.endpoint && address && number) pins.endpoint = Endpoint{*address, *number};
  }
  if (!pins.conns.empty()) {
    keys_.emplace();
    for (const Id128& conn : pins.conns) keys_->push_back(conn_key(conn));
    return;
  }
  if (!pins.endpoint) return;
  keys_ = {endpoint_key(*pins.endpoint)};
  // A connection may be named by its lease alone: then its own records carry the internal endpoint only.
  const Status status = view_.for_each_with(endpoint_key(*pins.endpoint),
                                            [&](uint64_t, const Record& record) {
                                              const Kind kind = record.kind();
                                              if (kind != Kind::kNatOpen && kind != Kind::kNatClose && kind != Kind::kExisting)
                                                return true;
                                              if (const auto internal = record.endpoint(Field::kSrcIp, Field::kSrcPort)) {
                                                const RowKey key = endpoint_key(*internal);
                                                if (std::ranges::find(*keys_, key) == keys_->end()) keys_->push_back(key);
                                              }
                                              return keys_->size() < kPinnedEndpointsMax;
                                            },
                                            {.marks = kMarkLease});
  if (!status || keys_->size() >= kPinnedEndpointsMax) keys_.reset();  // look at every row instead
}

void Search::look_at(const BlockRef& ref) {
  pending_.clear();
  from_ = ref.block->first_index();
  below_ = from_ + ref.rows;
}

Status Search::prepare(std::chrono::steady_clock::time_point stop_at) {
  if (main_rows_ || !view_.connections() || reading_ != Reading::kConnections) return {};
  auto known = view_.connections()->of(view_, stop_at);
  if (!known) return std::unexpected(known.error());
  main_rows_ = std::move(*known);
  return {};
}

Status Search::keyed_rows(const BlockRef& ref, uint32_t high, std::vector<uint32_t>& rows) {
  rows.clear();
  for (const RowKey key : *keys_) {
    if (auto status = ref.block->rows_with(key, high, rows); !status) return status;
  }
  std::ranges::sort(rows);
  const auto doubled = std::ranges::unique(rows);
  rows.erase(doubled.begin(), doubled.end());
  return {};
}

Status Search::candidates(const BlockRef& ref, const Columns& columns, uint32_t low, uint32_t high, std::vector<uint32_t>& rows) {
  const uint64_t first = ref.block->first_index();
  if (keys_) {
    if (auto status = keyed_rows(ref, high, rows); !status) return status;
    std::erase_if(rows, [&](uint32_t row) { return row < low; });
  } else {
    rows.resize(high - low);
    for (uint32_t i = 0; i < rows.size(); ++i) rows[i] = low + i;
  }
  scanned_ += rows.size();
  pending_settled_ = true;
  if (reading_ == Reading::kRecords) {
    evaluator_.keep_matching(columns, first, rows);
    return joins_.status();
  }
  if (!main_rows_) return keep_unknown(first, columns, rows);
  const auto block = static_cast<size_t>(&ref - view_.blocks().data());
  return keep_known(*(*main_rows_)[block], first, columns, rows);
}

Status Search::next_single_rows(const BlockRef& ref, uint32_t high) {
  const uint64_t first = ref.block->first_index();
  std::vector<uint32_t> rows;
  if (auto status = keyed_rows(ref, high, rows); !status) return status;
  // A row stands in columns by itself, so that it is told apart from its neighbours by its index alone.
  Columns columns;
  Record record;
  std::vector<uint32_t> one;
  uint32_t low = 0;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    if (single_rows_ == kSingleRowsMax) {
      low = *row + 1;  // from here on the block is decoded
      break;
    }
    ++single_rows_;
    ++scanned_;
    if (Status read = ref.block->read_row(*row, record); !read) return read;
    const uint32_t place = columns.appended();
    columns.append(record);
    columns.publish();
    one = {place};
    pending_settled_ = true;
    const uint64_t first_of_columns = first + *row - place;
    if (reading_ == Reading::kRecords) {
      evaluator_.keep_matching(columns, first_of_columns, one);
    } else if (Status kept = keep_unknown(first_of_columns, columns, one); !kept) {
      return kept;
    }
    if (!joins_.status()) return joins_.status();
    if (!one.empty()) pending_.push_back(*row);
  }
  std::ranges::reverse(pending_);
  pending_settled_ = reading_ == Reading::kRecords;
  pending_block_ = ref.block;
  below_ = first + low;
  return {};
}

Status Search::keep_known(const OpenRows& known, uint64_t first, const Columns& columns, std::vector<uint32_t>& rows) {
  PB_CHECK(columns.holds(Field::kKind));
  const uint16_t* const kinds = columns.storage().array<uint16_t>(Field::kKind);
  const bool dropped = view_.first_index() > 0;  // what superseded a late one may be gone
  auto open = known.rows.begin();
  auto late = known.late.begin();
  size_t kept = 0;
  for (const uint32_t row : rows) {
    rows[kept] = row;
    if (kinds[row] == static_cast<uint16_t>(Kind::kClose) || kinds[row] == static_cast<uint16_t>(Kind::kFailed)) {
      ++kept;
      continue;
    }
    while (open != known.rows.end() && *open < row) ++open;
    while (dropped && late != known.late.end() && *late < row) ++late;
    const bool is_open = open != known.rows.end() && *open == row;
    kept += is_open || (dropped && late != known.late.end() && *late == row) ? 1 : 0;
  }
  rows.resize(kept);
  evaluator_.keep_matching(columns, first, rows);
  if (dropped && !known.late.empty()) {
    std::erase_if(rows, [&](uint32_t row) {
      return std::ranges::binary_search(known.late, row) &&
             joins_.superseded(columns.id128(row, Field::kConn), static_cast<Kind>(kinds[row]), first + row);
    });
  }
  return joins_.status();
}

Status Search::keep_unknown(uint64_t first, const Columns& columns, std::vector<uint32_t>& rows) {
  drop_superseded(columns, rows);
  evaluator_.keep_matching(columns, first, rows);
  pending_settled_ = false;
  return joins_.status();
}

bool Search::is_settled(uint32_t row, const Record& record) {
  const Kind kind = record.kind();
  if (pending_settled_ || !record.has(Field::kConn) || (kind != Kind::kOpen && kind != Kind::kExisting)) return true;
  return !joins_.superseded(record.id128(Field::kConn), kind, pending_block_->first_index() + row);
}

Status Search::settle_all() {
  if (pending_settled_) return {};
  const Columns& columns = *pending_columns_;
  std::erase_if(pending_, [&](uint32_t row) {
    const auto kind = static_cast<Kind>(columns.uint(row, Field::kKind));
    return (kind == Kind::kOpen || kind == Kind::kExisting) && columns.has(row, Field::kConn) &&
           joins_.superseded(columns.id128(row, Field::kConn), kind, pending_block_->first_index() + row);
  });
  pending_settled_ = true;
  return joins_.status();
}

void Search::drop_superseded(const Columns& columns, std::vector<uint32_t>& rows) {
  std::vector<uint32_t> kept;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    if (!is_connection_kind(columns, *row)) continue;
    if (columns.has(*row, Field::kConn)) {
      const Id128 conn = columns.id128(*row, Field::kConn);
      const auto kind = static_cast<Kind>(columns.uint(*row, Field::kKind));
      const bool ends = kind == Kind::kClose || kind == Kind::kFailed;
      if (!ends && (kind == Kind::kOpen ? ended_.erase(conn) > 0 : ended_.contains(conn))) continue;
      if (ends && ended_.size() < kEndedRemembered) ended_.insert(conn);
    }
    kept.push_back(*row);
  }
  std::ranges::reverse(kept);
  rows = std::move(kept);
}

Status Search::next_slice(bool singly) {
  pending_.clear();
  if (keys_) pass_over_blocks();
  if (done()) return {};
  const auto blocks = view_.blocks();
  const auto after = std::ranges::upper_bound(blocks, below_ - 1, {}, [](const BlockRef& ref) { return ref.block->first_index(); });
  const BlockRef& ref = *(after - 1);
  const uint64_t block_first = ref.block->first_index();
  const auto high = static_cast<uint32_t>(std::min<uint64_t>(ref.rows, below_ - block_first));
  // A row's connection began at the latest at the row's own time: a block whose rows are all older has nothing that began later.
  if (start_range_.low > 0 && ref.block->time_max() < start_range_.low) {
    below_ = block_first;
    return {};
  }
  if (singly && keys_ && single_rows_ < kSingleRowsMax) return next_single_rows(ref, high);
  const uint32_t slice = keys_ ? kBlockRowsMax : kRowsPerSlice;
  const uint32_t low = high > slice ? high - slice : 0;
  auto read = ref.block->columns(wanted_);
  if (!read) return std::unexpected(read.error());
  pending_columns_ = std::move(*read);
  pending_block_ = ref.block;
  if (auto status = candidates(ref, *pending_columns_, low, high, pending_); !status) return status;
  below_ = block_first + low;
  return {};
}

Result<bool> Search::step(size_t rows_max, std::chrono::nanoseconds budget, const Emit& emit) {
  const auto stop_at = std::chrono::steady_clock::now() + budget;
  size_t emitted = 0;
  Record record;
  // The first rows are worth more than knowing them all.
  if (!keys_ && !std::exchange(prepared_, true)) {
    const auto prepare_until = std::min(stop_at, std::chrono::steady_clock::now() + kPrepareForRows);
    if (Status prepared = prepare(prepare_until); !prepared) return std::unexpected(prepared.error());
  }
  while (emitted < rows_max) {
    if (!pending_.empty()) {
      const uint32_t row = pending_.back();
      if (Status read = pending_block_->read_row(row, record); !read) return std::unexpected(read.error());
      const uint64_t index = pending_block_->first_index() + row;
      const bool is_row = is_settled(row, record);
      if (is_row)
        emit(reading_ == Reading::kConnections ? connection_row(joins_, index, record) : record_row(joins_, index, record));
      if (!joins_.status()) return std::unexpected(joins_.status().error());
      pending_.pop_back();
      below_ = pending_.empty() ? slice_low_ : index;
      emitted += is_row ? 1 : 0;
      if (!is_row && std::chrono::steady_clock::now() >= stop_at) return false;
      continue;
    }
    if (done()) return true;
    if (std::chrono::steady_clock::now() >= stop_at) return false;
    if (auto status = next_slice(true); !status) return std::unexpected(status.error());
    slice_low_ = below_;
  }
  return pending_.empty() && done();
}

Result<bool> Search::scan_narrow(const BlockRef& ref, const FieldSet& shown, bool owner_shown, const VisitNarrow& visit) {
  if (keys_) return false;
  // As in next_slice().
  if (start_range_.low > 0 && ref.block->time_max() < start_range_.low) return true;
  const OpenRows* open = nullptr;
  if (reading_ == Reading::kConnections) {
    if (!main_rows_) return false;
    open = (*main_rows_)[static_cast<size_t>(&ref - view_.blocks().data())].get();
    if (view_.first_index() > 0 && !open->late.empty()) return false;  // what superseded a late one may be gone
  }
  if (!narrow_filter_ || ref.block->sealed_rows() != ref.rows) return false;
  FieldSet wanted = shown;
  wanted.add(narrow_filter_->wanted());
  const auto columns = ref.block->narrow(wanted);
  if (!columns) return std::unexpected(columns.error());
  if (!*columns) return false;
  const bool kept = narrow_filter_->keep_matching(**columns, open, owner_shown, narrow_rows_);
  if (!narrow_filter_->status()) return std::unexpected(narrow_filter_->status().error());
  if (!kept) return false;
  if (!narrow_rows_.empty()) visit(**columns, narrow_rows_);
  return true;
}

Result<bool> Search::scan(std::chrono::nanoseconds budget, const Visit& visit) {
  const auto stop_at = std::chrono::steady_clock::now() + budget;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= stop_at) return false;
    if (auto status = next_slice(false); !status) return std::unexpected(status.error());
    if (auto status = settle_all(); !status) return std::unexpected(status.error());
    if (!pending_.empty()) visit(*pending_columns_, pending_block_->first_index(), pending_);
    pending_.clear();
  }
  return true;
}

}  // namespace portbook
