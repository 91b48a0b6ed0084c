#include "query/process_answers.h"

#include <algorithm>
#include <array>

#include "query/narrow_filter.h"

namespace portbook {

namespace {

constexpr auto kProcess = static_cast<uint64_t>(Kind::kProcess);

FieldSet fields_for(const Test& test) {
  FieldSet fields = kNarrowProcessFields;
  fields.add(fields_of(std::array{Field::kKind, test.field}));
  return fields;
}

bool narrow_columns_tell(const NarrowColumns& columns, const Test& test) {
  return columns.column(Field::kKind).has_ids() && columns.column(test.field).has_ids() && columns.processes->numbered;
}

template <typename Visit>  // visit(process, passes)
void each_in_narrow(const NarrowColumns& columns, const Test& test, Visit visit) {
  const NarrowColumn& kinds = columns.column(Field::kKind);
  const auto kind = std::ranges::find(kinds.values, kProcess);
  if (kind == kinds.values.end()) return;
  std::vector<uint8_t> is_process(kinds.value_count() + 1);
  is_process[static_cast<size_t>(kind - kinds.values.begin()) + 1] = 1;
  RowMask mask(columns.rows, 1);
  keep_answered(mask, kinds, is_process);
  std::vector<uint16_t> rows;
  rows_of(mask, rows);
  const NarrowColumn& values = columns.column(test.field);
  const std::vector<uint8_t> passes = answers_of(test, values);
  for (const uint16_t row : rows) {
    const uint16_t process = columns.processes->ids[row];
    if (process != 0) visit(columns.processes->named[process - 1], passes[values.id(row)] != 0);
  }
}

template <typename Visit>
void each_in_columns(const Columns& columns, uint32_t rows, const Test& test, Visit visit) {
  Record record;
  const FieldSet wanted = fields_for(test);
  for (uint32_t row = 0; row < rows; ++row) {
    if (columns.uint(row, Field::kKind) != kProcess || !columns.has(row, Field::kPid) || !columns.has(row, Field::kProcessStart))
      continue;
    columns.read(row, wanted, record);
    visit({columns.uint(row, Field::kPid), columns.uint(row, Field::kProcessStart)}, own_value_matches(test, record));
  }
}

// Each process record of the view.
template <typename Visit>
Status each_process(const View& view, const Test& test, Visit visit) {
  const FieldSet wanted = fields_for(test);
  for (const BlockRef& ref : view.blocks()) {
    if (ref.block->sealed_rows() == ref.rows) {
      const auto narrow = ref.block->narrow(wanted);
      if (!narrow) return std::unexpected(narrow.error());
      if (*narrow && narrow_columns_tell(**narrow, test)) {
        each_in_narrow(**narrow, test, visit);
        continue;
      }
    }
    const auto columns = ref.block->columns(wanted);
    if (!columns) return std::unexpected(columns.error());
    each_in_columns(**columns, ref.rows, test, visit);
  }
  return {};
}

}  // namespace

Result<std::optional<ProcessAnswers>> ProcessAnswers::of(const View& view, const Test& test, size_t processes_max) {
  ProcessAnswers made;
  auto& passing = made.passing_;
  Status read = each_process(view, test, [&](const ProcessId& process, bool passes) {
    if (passes && passing.size() <= processes_max) passing.try_emplace(process, ProcessAnswer::kYes);
  });
  if (!read) return std::unexpected(read.error());
  if (passing.size() > processes_max) return std::nullopt;
  if (passing.empty()) return made;
  read = each_process(view, test, [&](const ProcessId& process, bool passes) {
    if (passes) return;
    if (const auto found = passing.find(process); found != passing.end()) found->second = ProcessAnswer::kDepends;
  });
  if (!read) return std::unexpected(read.error());
  return made;
}

ProcessAnswer ProcessAnswers::answer(const ProcessId& process) const {
  const auto found = passing_.find(process);
  return found == passing_.end() ? ProcessAnswer::kNo : found->second;
}

}  // namespace portbook
