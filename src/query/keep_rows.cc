#include "query/keep_rows.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace portbook {

namespace {

// Rows that have the field and whose value fits.
template <typename Value, typename Fits>
void keep_if(const Columns& columns, Field field, std::vector<uint32_t>& rows, Fits fits) {
  PB_CHECK(columns.holds(field));
  const HasField has(columns, field, rows);
  const Value* const values = columns.storage().array<Value>(field);
  size_t kept = 0;
  if (has.none()) {
    rows.clear();
  } else if (has.all()) {
    for (const uint32_t row : rows) {
      rows[kept] = row;
      kept += fits(values[row]) ? 1 : 0;
    }
    rows.resize(kept);
  } else {
    for (const uint32_t row : rows) {
      rows[kept] = row;
      kept += has(row) && fits(values[row]) ? 1 : 0;
    }
    rows.resize(kept);
  }
}

template <typename Value>
void keep_numbers(const Columns& columns, const Test& test, std::vector<uint32_t>& rows, uint64_t flipped = 0) {
  if (test.numbers.size() == 1) {
    const NumberRange range = test.numbers.front();
    keep_if<Value>(columns, test.field, rows, [=](Value value) { return range.contains(value ^ flipped); });
    return;
  }
  keep_if<Value>(columns, test.field, rows, [&](Value value) {
    return std::ranges::any_of(test.numbers, [&](const NumberRange& range) { return range.contains(value ^ flipped); });
  });
}

// Rows of a block mostly share their texts: an answer is remembered by where the text stands.
void keep_texts(const Columns& columns, const Test& test, std::vector<uint32_t>& rows) {
  struct Known {
    TextRef ref{UINT32_MAX, UINT32_MAX};
    bool fits = false;
  };
  std::array<Known, 256> known;
  const ColumnStorage& storage = columns.storage();
  keep_if<TextRef>(columns, test.field, rows, [&](TextRef ref) {
    Known& one = known[(ref.offset * 0x9e3779b1U) >> 24];
    if (one.ref != ref) {
      const std::string_view text = ref.length == 0 ? std::string_view{} : storage.text(ref);
      one = {ref, std::ranges::any_of(test.texts, [&](const TextPattern& pattern) { return pattern.matches(text); })};
    }
    return one.fits;
  });
}

}  // namespace

HasField::HasField(const Columns& columns, Field field, std::span<const uint32_t> rows)
    : shape_ids_(columns.storage().shape_ids()) {
  // Others may be adding shapes: only those of the rows are looked at.
  uint16_t last = 0;
  for (const uint32_t row : rows) last = std::max(last, shape_ids_[row]);
  if (rows.empty()) return;
  std::vector<uint8_t> used(last + size_t{1});
  for (const uint32_t row : rows) used[shape_ids_[row]] = 1;
  has_.resize(used.size());
  for (size_t i = 0; i < used.size(); ++i) {
    if (used[i] == 0) continue;
    has_[i] = columns.storage().shapes()[i].has(field) ? 1 : 0;
    all_ = all_ && has_[i] != 0;
    none_ = none_ && has_[i] == 0;
  }
}

void keep_values(const Columns& columns, const Test& test, std::vector<uint32_t>& rows) {
  if (test.any_value) {
    std::erase_if(rows, [&](uint32_t row) { return !columns.has(row, test.field); });
    return;
  }
  switch (info(test.field).type) {
    case FieldType::kPort:
    case FieldType::kEnum: keep_numbers<uint16_t>(columns, test, rows); break;
    case FieldType::kUint:
    case FieldType::kTime:
    case FieldType::kDuration: keep_numbers<uint64_t>(columns, test, rows); break;
    case FieldType::kSigned: keep_numbers<uint64_t>(columns, test, rows, biased(0)); break;
    case FieldType::kIp:
      keep_if<Wide>(columns, test.field, rows, [&](const Wide& value) {
        return std::ranges::any_of(test.addresses, [&](const IpRange& range) { return range.contains(Ip{value}); });
      });
      break;
    case FieldType::kId128:
      keep_if<Wide>(columns, test.field, rows,
                    [&](const Wide& value) { return std::ranges::find(test.ids, value) != test.ids.end(); });
      break;
    case FieldType::kText:
    case FieldType::kCbor: keep_texts(columns, test, rows); break;
  }
}

void keep_started(const Columns& columns, const Test& test, std::vector<uint32_t>& rows) {
  const HasField has_time(columns, Field::kTime, rows);
  const HasField has_start(columns, Field::kStart, rows);
  PB_CHECK(columns.holds(Field::kStart));
  const uint64_t* const starts = columns.storage().array<uint64_t>(Field::kStart);
  std::erase_if(rows, [&](uint32_t row) {
    if (!has_time(row)) return true;
    const TimeNs began = has_start(row) ? starts[row] : row_began(columns, row);
    return std::ranges::none_of(test.numbers, [&](const NumberRange& range) { return range.contains(began); });
  });
}

}  // namespace portbook
