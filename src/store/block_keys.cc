#include "store/block_keys.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "store/row_keys.h"

namespace portbook {

namespace {

constexpr size_t kEarlyShare = 50;  // one record of so many may be of a time before `begins`

bool speaks_of_connection(Kind kind) {
  switch (kind) {
    case Kind::kOpen:
    case Kind::kClose:
    case Kind::kFailed:
    case Kind::kExisting:
    case Kind::kNatOpen:
    case Kind::kNatClose: return true;
    default: return false;
  }
}

bool is_end(Kind kind) {
  return kind == Kind::kClose || kind == Kind::kFailed || kind == Kind::kNatClose;
}

KeyMarks marks_of(const Record& record, Kind kind) {
  const bool nat = record.uint_or(Field::kVantage, 0) == static_cast<uint64_t>(Vantage::kNat) && record.has(Field::kVantage);
  if (nat || kind == Kind::kNatOpen || kind == Kind::kNatClose) return kMarkLease;
  return kind == Kind::kListen ? kMarkListen : 0;
}

// 0 where it began at an unknown moment.
TimeNs start_of(const Record& record, Kind kind) {
  if (record.has(Field::kStart)) return std::min(record.time(), record.uint(Field::kStart));
  if (kind == Kind::kExisting || kind == Kind::kClose || kind == Kind::kNatClose) return 0;
  if (kind == Kind::kNatOpen && record.has(Field::kCause)) return 0;
  return std::min(record.time(), record.uint_or(Field::kEnd, UINT64_MAX));
}

// By key, rows staying in order: least significant digit first, three digits of 11 bits.
void sort_by_key(std::vector<KeyMention>& mentions) {
  constexpr unsigned kDigitBits = 11;
  constexpr uint32_t kDigits = 1U << kDigitBits;
  std::vector<KeyMention> other(mentions.size());
  for (unsigned shift = 0; shift < 32; shift += kDigitBits) {
    std::array<uint32_t, kDigits + 1> starts{};
    for (const KeyMention& one : mentions) ++starts[(one.key >> shift & (kDigits - 1)) + 1];
    for (uint32_t digit = 0; digit < kDigits; ++digit) starts[digit + 1] += starts[digit];
    for (const KeyMention& one : mentions) other[starts[one.key >> shift & (kDigits - 1)]++] = one;
    std::swap(mentions, other);
  }
}

// The last row of each connection, in memory that is allocated once.
class RowsByConn {
 public:
  static constexpr uint32_t kNoRow = UINT32_MAX;

  explicit RowsByConn(size_t most) : slots_(std::bit_ceil(2 * most + 1)) {}

  void put(const Id128& conn, uint32_t row) {
    Slot& slot = slots_[place_of(conn)];
    slot = {conn, row};
  }
  [[nodiscard]] uint32_t row_of(const Id128& conn) const { return slots_[place_of(conn)].row; }

 private:
  struct Slot {
    Id128 conn{};
    uint32_t row = kNoRow;
  };
  [[nodiscard]] size_t place_of(const Id128& conn) const {
    const size_t mask = slots_.size() - 1;
    size_t i = XXH3_64bits(conn.data(), conn.size()) & mask;
    while (slots_[i].row != kNoRow && slots_[i].conn != conn) i = (i + 1) & mask;
    return i;
  }

  std::vector<Slot> slots_;
};

}  // namespace

void BlockKeysBuilder::add(const Record& record, std::span<const RowKey> keys) {
  const Kind kind = record.kind();
  const KeyMarks marks = marks_of(record, kind);
  TimeNs start = kNone;
  bool ends = true;
  if (record.has(Field::kTime)) {
    times_.push_back(record.time());
    ends_ = std::max({ends_, record.time(), record.uint_or(Field::kStart, 0), record.uint_or(Field::kEnd, 0)});
    if (speaks_of_connection(kind)) {
      start = start_of(record, kind);
      ends = is_end(kind) || record.has(Field::kEnd);
    }
  }
  const bool has_conn = record.has(Field::kConn);
  const auto row = static_cast<uint32_t>(rows_.size());
  if (start != kNone && ends && has_conn) closed_.push_back({record.id128(Field::kConn), row});
  if (!ends && has_conn) opened_.push_back({record.id128(Field::kConn), row});
  const KeyMarks open = !ends && !has_conn ? kMarkOpen : 0;
  keys_.insert(keys_.end(), keys.begin(), keys.end());
  rows_.push_back({start, static_cast<uint32_t>(keys_.size()), static_cast<KeyMarks>(marks | open)});
}

std::span<const RowKey> BlockKeysBuilder::keys_of_row(uint32_t row) const {
  const uint32_t begin = row == 0 ? 0 : rows_[row - 1].keys_end;
  return std::span(keys_).subspan(begin, rows_[row].keys_end - begin);
}

// A few records that come late must not make the whole block reach back.
TimeNs BlockKeysBuilder::settle_begins() {
  if (times_.empty()) return 0;
  const auto place = times_.begin() + static_cast<ptrdiff_t>(times_.size() / kEarlyShare);
  std::nth_element(times_.begin(), place, times_.end());
  return *place;
}

// Of each key of a record that does not end its connection: whether the connection's end, if the block has it, does not carry it.
void BlockKeysBuilder::mark_open() {
  open_marks_.assign(keys_.size(), 0);
  RowsByConn ends(closed_.size());
  for (const RowOfConn& one : closed_) ends.put(one.conn, one.row);
  for (const RowOfConn& one : opened_) {
    const uint32_t end = ends.row_of(one.conn);
    const auto ended = end == RowsByConn::kNoRow ? std::span<const RowKey>() : keys_of_row(end);
    size_t at = rows_[one.row].keys_end - keys_of_row(one.row).size();
    for (const RowKey key : keys_of_row(one.row)) {
      if (std::ranges::find(ended, key) == ended.end()) open_marks_[at] = kMarkOpen;
      ++at;
    }
  }
}

void BlockKeysBuilder::make_mentions(TimeNs begins) {
  mentions_.reserve(keys_.size());
  size_t at = 0;
  for (uint32_t row = 0; row < rows_.size(); ++row) {
    KeyMarks marks = rows_[row].marks;
    if (rows_[row].start == 0) {
      marks |= kReachAny;
    } else if (rows_[row].start < begins) {
      marks |= reach_of(begins - rows_[row].start);
    }
    for (; at < rows_[row].keys_end; ++at) {
      mentions_.push_back(
          {static_cast<uint32_t>(keys_[at] >> 32), static_cast<uint16_t>(row), static_cast<KeyMarks>(marks | open_marks_[at])});
    }
  }
  sort_by_key(mentions_);
}

BlockKeys BlockKeysBuilder::finish() {
  PB_CHECK(rows_.size() <= kBlockRowsMax);
  BlockKeys found;
  found.begins = settle_begins();
  found.ends = ends_;
  mark_open();
  make_mentions(found.begins);
  found.entries.reserve(mentions_.size());
  for (const KeyMention& one : mentions_) {
    if (found.entries.empty() || found.entries.back().key != one.key) {
      found.entries.push_back({one.key, one.marks});
    } else {
      found.entries.back().marks = join_marks(found.entries.back().marks, one.marks);
    }
  }
  return found;
}

BlockKeys keys_of(const Columns& columns, uint32_t rows) {
  BlockKeysBuilder builder;
  RowKeys keys;
  Record record;
  for (uint32_t row = 0; row < rows; ++row) {
    columns.read(row, record);
    keys.of(record);
    builder.add(record, keys.all());
  }
  return builder.finish();
}

}  // namespace portbook
