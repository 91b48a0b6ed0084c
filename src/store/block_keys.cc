#include "store/block_keys.h"

#include <algorithm>

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

// Least significant digit first, the marks left out.
void sort_by_key(std::vector<uint64_t>& entries) {
  constexpr unsigned kDigitBits = 11;
  constexpr uint64_t kDigits = uint64_t{1} << kDigitBits;
  std::vector<uint64_t> other(entries.size());
  for (unsigned shift = 8; shift < 40; shift += kDigitBits) {
    std::vector<size_t> starts(kDigits + 1);
    for (const uint64_t entry : entries) ++starts[(entry >> shift & (kDigits - 1)) + 1];
    for (size_t digit = 0; digit < kDigits; ++digit) starts[digit + 1] += starts[digit];
    for (const uint64_t entry : entries) other[starts[entry >> shift & (kDigits - 1)]++] = entry;
    std::swap(entries, other);
  }
}

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
  if (start != kNone && ends && has_conn) {
    closed_.insert_or_assign(record.id128(Field::kConn), std::pair(closed_keys_.size(), keys.size()));
    closed_keys_.insert(closed_keys_.end(), keys.begin(), keys.end());
  }
  for (const RowKey key : keys) {
    if (!ends && has_conn) opened_.push_back({record.id128(Field::kConn), key, mentions_.size()});
    const KeyMarks open = !ends && !has_conn ? kMarkOpen : 0;
    mentions_.push_back({static_cast<uint32_t>(key >> 32), static_cast<KeyMarks>(marks | open), start});
  }
}

// A few records that come late must not make the whole block reach back.
TimeNs BlockKeysBuilder::settle_begins() {
  if (times_.empty()) return 0;
  const auto place = times_.begin() + static_cast<ptrdiff_t>(times_.size() / kEarlyShare);
  std::nth_element(times_.begin(), place, times_.end());
  return *place;
}

BlockKeys BlockKeysBuilder::finish() {
  BlockKeys found;
  found.begins = settle_begins();
  found.ends = ends_;
  for (const Opened& one : opened_) {
    const auto closed = closed_.find(one.conn);
    const auto keys = closed == closed_.end() ? std::span<const RowKey>()
                                              : std::span(closed_keys_).subspan(closed->second.first, closed->second.second);
    if (std::ranges::find(keys, one.key) == keys.end()) mentions_[one.mention].marks |= kMarkOpen;
  }
  std::vector<uint64_t> sorted;  // key, then marks in the lowest byte
  sorted.reserve(mentions_.size());
  for (const Mention& mention : mentions_) {
    KeyMarks marks = mention.marks;
    if (mention.start == 0) {
      marks |= kReachAny;
    } else if (mention.start < found.begins) {
      marks |= reach_of(found.begins - mention.start);
    }
    sorted.push_back(uint64_t{mention.key} << 8 | marks);
  }
  sort_by_key(sorted);
  for (const uint64_t one : sorted) {
    const auto key = static_cast<uint32_t>(one >> 8);
    const auto marks = static_cast<KeyMarks>(one);
    if (found.entries.empty() || found.entries.back().key != key) {
      found.entries.push_back({key, marks});
    } else {
      found.entries.back().marks = join_marks(found.entries.back().marks, marks);
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
