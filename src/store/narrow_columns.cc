#include "store/narrow_columns.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/bytes.h"

namespace portbook {

namespace {

constexpr size_t kIdsMax = 65'535;       // beside the one for rows that lack the field
constexpr size_t kTextIdsMax = 4'096;    // they are kept whole
constexpr size_t kNumberIdsMax = 2'048;  // of numbers; with more of them the numbers themselves are shorter

bool is_wide(FieldType type) {
  return type == FieldType::kIp || type == FieldType::kId128;
}
bool is_text(FieldType type) {
  return type == FieldType::kText || type == FieldType::kCbor;
}

// For each of the block's shapes whether it has the field.
std::vector<uint8_t> shapes_with(const Columns& columns, Field field) {
  const ColumnStorage& storage = columns.storage();
  std::vector<uint8_t> with(storage.shape_count());
  for (size_t i = 0; i < with.size(); ++i) with[i] = storage.shapes()[i].has(field) ? 1 : 0;
  return with;
}

struct WideHash {
  size_t operator()(const Wide& wide) const {
    return (load_little<uint64_t>(wide.data()) ^ load_little<uint64_t>(wide.data() + 8)) * 0x9e3779b97f4a7c15U >> 16;
  }
};
struct NumberHash {
  size_t operator()(uint64_t number) const { return number * 0x9e3779b97f4a7c15U >> 16; }
};

// Numbers the values that take(row) gives; false when there are more than `ids_max`.
template <typename Map, typename Values, typename Take>
bool number_values(const Columns& columns, Field field, uint32_t rows, size_t ids_max, Map& known, Values& values,
                   std::vector<uint16_t>& ids, Take take) {
  const std::vector<uint8_t> with = shapes_with(columns, field);
  const uint16_t* const shape_ids = columns.storage().shape_ids();
  ids.resize(rows);
  for (uint32_t row = 0; row < rows; ++row) {
    if (with[shape_ids[row]] == 0) continue;
    const auto value = take(row);
    const auto found = known.find(value);
    if (found != known.end()) {
      ids[row] = found->second;
      continue;
    }
    if (values.size() == ids_max) return false;
    values.emplace_back(value);
    known.emplace(value, static_cast<uint16_t>(values.size()));
    ids[row] = static_cast<uint16_t>(values.size());
  }
  return true;
}

void keep_numbers_themselves(const Columns& columns, Field field, uint32_t rows, NarrowColumn& column) {
  const std::vector<uint8_t> with = shapes_with(columns, field);
  const ColumnStorage& storage = columns.storage();
  const uint64_t* const numbers = storage.array<uint64_t>(field);
  uint64_t least = UINT64_MAX;
  uint64_t greatest = 0;
  for (uint32_t row = 0; row < rows; ++row) {
    if (with[storage.shape_ids()[row]] == 0) continue;
    least = std::min(least, numbers[row]);
    greatest = std::max(greatest, numbers[row]);
  }
  if (greatest - least == UINT64_MAX) return;
  const bool narrow = greatest - least < UINT32_MAX;
  column.form = narrow ? NarrowColumn::Form::kNumbers32 : NarrowColumn::Form::kNumbers64;
  column.least = least;
  if (narrow) {
    column.numbers32.resize(rows);
  } else {
    column.numbers64.resize(rows);
  }
  for (uint32_t row = 0; row < rows; ++row) {
    if (with[storage.shape_ids()[row]] == 0) continue;
    const uint64_t number = numbers[row] - least + 1;
    if (narrow) {
      column.numbers32[row] = static_cast<uint32_t>(number);
    } else {
      column.numbers64[row] = number;
    }
  }
}

NarrowBeginnings beginnings_of(const Columns& columns, uint32_t rows) {
  NarrowBeginnings made;
  made.began.resize(rows);
  for (uint32_t row = 0; row < rows; ++row) {
    if (!columns.has(row, Field::kTime)) {
      made.all_have_time = false;
      continue;
    }
    made.began[row] = row_began(columns, row);
    made.least = std::min(made.least, made.began[row]);
    made.greatest = std::max(made.greatest, made.began[row]);
  }
  return made;
}

// A row with Record's names.
struct RowOf {
  const Columns& columns;
  uint32_t row;
  [[nodiscard]] bool has(Field field) const { return columns.has(row, field); }
  [[nodiscard]] uint64_t uint(Field field) const { return columns.uint(row, field); }
};

std::vector<uint16_t> unnamed_acceptors_of(const Columns& columns, uint32_t rows) {
  std::vector<uint16_t> found;
  for (uint32_t row = 0; row < rows; ++row) {
    if (has_unnamed_acceptor(RowOf{columns, row})) found.push_back(static_cast<uint16_t>(row));
  }
  return found;
}

NarrowProcesses processes_of(const Columns& columns, uint32_t rows) {
  const std::vector<uint8_t> with_pid = shapes_with(columns, Field::kPid);
  const std::vector<uint8_t> with_start = shapes_with(columns, Field::kProcessStart);
  const ColumnStorage& storage = columns.storage();
  const uint64_t* const pids = storage.array<uint64_t>(Field::kPid);
  const uint64_t* const starts = storage.array<uint64_t>(Field::kProcessStart);
  NarrowProcesses made;
  made.ids.resize(rows);
  std::unordered_map<ProcessId, uint16_t, ProcessIdHash> known;
  for (uint32_t row = 0; row < rows; ++row) {
    const uint16_t shape = storage.shape_ids()[row];
    if (with_pid[shape] == 0 || with_start[shape] == 0) continue;
    const ProcessId process{pids[row], starts[row]};
    const auto [found, is_new] = known.try_emplace(process, static_cast<uint16_t>(made.named.size() + 1));
    if (is_new) {
      if (made.named.size() == kIdsMax) return {};
      made.named.push_back(process);
    }
    made.ids[row] = found->second;
  }
  made.numbered = true;
  return made;
}

}  // namespace

TimeNs row_began(const Columns& columns, uint32_t row) {
  if (columns.has(row, Field::kStart)) return columns.uint(row, Field::kStart);
  const bool failed = columns.uint(row, Field::kKind) == static_cast<uint64_t>(Kind::kFailed);
  return columns.uint(row, failed && columns.has(row, Field::kEnd) ? Field::kEnd : Field::kTime);
}

NarrowColumn narrow_column(const Columns& columns, Field field, uint32_t rows) {
  const FieldType type = info(field).type;
  const ColumnStorage& storage = columns.storage();
  NarrowColumn column;
  bool numbered = false;
  if (is_wide(type)) {
    std::unordered_map<Wide, uint16_t, WideHash> known;
    const Wide* const wides = storage.array<Wide>(field);
    numbered = number_values(columns, field, rows, kIdsMax, known, column.wides, column.ids16,
                             [&](uint32_t row) -> const Wide& { return wides[row]; });
  } else if (is_text(type)) {
    std::unordered_map<std::string_view, uint16_t> known;
    numbered = number_values(columns, field, rows, kTextIdsMax, known, column.texts, column.ids16,
                             [&](uint32_t row) { return columns.text(row, field); });
  } else {
    std::unordered_map<uint64_t, uint16_t, NumberHash> known;
    const bool small = column_width(type) == 2;
    numbered = number_values(
        columns, field, rows, small ? kIdsMax : kNumberIdsMax, known, column.values, column.ids16,
        [&](uint32_t row) { return small ? storage.array<uint16_t>(field)[row] : storage.array<uint64_t>(field)[row]; });
  }
  if (!numbered) {
    column = {};
    if (!is_wide(type) && !is_text(type) && column_width(type) == 8) keep_numbers_themselves(columns, field, rows, column);
    return column;
  }
  column.form = NarrowColumn::Form::kIds16;
  if (column.value_count() > UINT8_MAX) return column;
  column.form = NarrowColumn::Form::kIds8;
  column.ids8.assign(column.ids16.begin(), column.ids16.end());
  column.ids16 = {};
  return column;
}

void NarrowColumn::set_value(Field field, size_t place, Record& record) const {
  switch (info(field).type) {
    case FieldType::kIp: record.set(field, Ip{wides[place]}); break;
    case FieldType::kId128: record.set(field, Id128{wides[place]}); break;
    case FieldType::kText:
    case FieldType::kCbor: record.set(field, std::string_view(texts[place])); break;
    case FieldType::kSigned: record.set_signed(field, static_cast<int64_t>(values[place])); break;
    default: record.set(field, values[place]); break;
  }
}

size_t NarrowColumn::bytes_used() const {
  size_t bytes = sizeof(*this) + ids8.capacity() + ids16.capacity() * 2 + numbers32.capacity() * 4 + numbers64.capacity() * 8 +
                 values.capacity() * 8 + wides.capacity() * 16 + texts.capacity() * sizeof(std::string);
  for (const std::string& text : texts) bytes += text.size();
  return bytes;
}

FieldSet NarrowColumns::lacking(const FieldSet& wanted) const {
  FieldSet held;
  for (const FieldInfo& about : kFields) {
    if (columns[index_of(about.field)]) held.add(about.field);
  }
  FieldSet lacking = wanted.without(held);
  if (!processes && kNarrowProcessFields.without(wanted).empty()) lacking.add(kNarrowProcessFields);
  return lacking;
}

size_t NarrowColumns::bytes_used() const {
  size_t bytes = sizeof(*this) + shapes.capacity() * sizeof(FieldSet) + shape_ids.capacity() * 2;
  if (unnamed_acceptors) bytes += unnamed_acceptors->capacity() * 2;
  if (processes) bytes += processes->ids.capacity() * 2 + processes->named.capacity() * sizeof(ProcessId);
  if (beginnings) bytes += sizeof(NarrowBeginnings) + beginnings->began.capacity() * 8;
  for (const auto& column : columns) bytes += column ? column->bytes_used() : 0;
  return bytes;
}

std::shared_ptr<const NarrowColumns> with_columns(const std::shared_ptr<const NarrowColumns>& known, const Columns& columns,
                                                  uint32_t rows, const FieldSet& fields) {
  auto made = known ? std::make_shared<NarrowColumns>(*known) : std::make_shared<NarrowColumns>();
  if (!known) {
    const ColumnStorage& storage = columns.storage();
    made->rows = rows;
    made->shape_ids.assign(storage.shape_ids(), storage.shape_ids() + rows);
    made->shapes.assign(storage.shapes(), storage.shapes() + storage.shape_count());
    made->unnamed_acceptors = std::make_shared<const std::vector<uint16_t>>(unnamed_acceptors_of(columns, rows));
    made->beginnings = std::make_shared<const NarrowBeginnings>(beginnings_of(columns, rows));
  }
  if (!made->processes && kNarrowProcessFields.without(fields).empty())
    made->processes = std::make_shared<const NarrowProcesses>(processes_of(columns, rows));
  fields.for_each([&](Field field) {
    auto& column = made->columns[index_of(field)];
    if (!column) column = std::make_shared<const NarrowColumn>(narrow_column(columns, field, rows));
  });
  return made;
}

}  // namespace portbook
