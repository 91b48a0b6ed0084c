#include "query/narrow_filter.h"

#include <algorithm>

namespace portbook {

namespace {

// Keeps the rows that keep_range keeps for any of the ranges.
template <typename KeepRange>
void keep_any(RowMask& mask, std::span<const NumberRange> ranges, KeepRange keep_range) {
  if (ranges.size() == 1) {
    keep_range(mask, ranges.front());
    return;
  }
  RowMask any(mask.size());
  for (const NumberRange& range : ranges) {
    RowMask within = mask;
    keep_range(within, range);
    add_rows(any, within);
  }
  mask = std::move(any);
}

void keep_started(const Test& test, const NarrowColumns& columns, RowMask& mask) {
  const NarrowBeginnings& beginnings = *columns.beginnings;
  const auto covers = [&](const NumberRange& range) { return range.low <= beginnings.least && range.high >= beginnings.greatest; };
  const auto meets = [&](const NumberRange& range) { return range.low <= beginnings.greatest && range.high >= beginnings.least; };
  if (beginnings.all_have_time && std::ranges::any_of(test.numbers, covers)) return;
  if (std::ranges::none_of(test.numbers, meets)) {
    keep_none(mask);
    return;
  }
  keep_any(mask, test.numbers,
           [&](RowMask& within, const NumberRange& range) { keep_within(within, beginnings.began.data(), range); });
  if (beginnings.all_have_time) return;
  std::vector<uint8_t> has_time;
  for (const FieldSet& shape : columns.shapes) has_time.push_back(shape.has(Field::kTime) ? 1 : 0);
  keep_ids(mask, columns.shape_ids.data(), has_time);
}

// The ranges of values that pass, as Columns::uint() gives values: there a signed one stands as its bits.
std::vector<NumberRange> ranges_of_bits(const Test& test) {
  if (test.any_value) return {NumberRange{}};
  if (info(test.field).type != FieldType::kSigned) return test.numbers;
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  std::vector<NumberRange> ranges;
  for (const NumberRange& range : test.numbers) {
    if (range.low < kHalf && range.low <= range.high)
      ranges.push_back({range.low ^ kHalf, std::min(range.high, kHalf - 1) ^ kHalf});
    if (range.high >= kHalf && range.low <= range.high) ranges.push_back({std::max(range.low, kHalf) ^ kHalf, range.high ^ kHalf});
  }
  return ranges;
}

// Of numbers that stand by themselves. Whoever lacks one has 0, which is in no range: those begin at 1.
void keep_numbers(const Test& test, const NarrowColumn& column, RowMask& mask) {
  std::vector<NumberRange> ranges;
  for (const NumberRange& range : ranges_of_bits(test)) {
    if (range.low > range.high || range.high < column.least) continue;
    const uint64_t low = std::max(range.low, column.least) - column.least;
    const uint64_t high = range.high - column.least;
    if (low < UINT64_MAX) ranges.push_back({low + 1, std::min(high, UINT64_MAX - 1) + 1});
  }
  keep_any(mask, ranges, [&](RowMask& within, const NumberRange& range) {
    if (column.form == NarrowColumn::Form::kNumbers32) {
      keep_within(within, column.numbers32.data(), range);
    } else {
      keep_within(within, column.numbers64.data(), range);
    }
  });
}

}  // namespace

std::vector<uint8_t> answers_of(const Test& test, const NarrowColumn& column) {
  std::vector<uint8_t> answers(column.value_count() + 1);
  Record one;
  for (size_t i = 0; i < column.value_count(); ++i) {
    column.set_value(test.field, i, one);
    answers[i + 1] = own_value_matches(test, one) ? 1 : 0;
  }
  return answers;
}

void keep_answered(RowMask& mask, const NarrowColumn& column, std::span<const uint8_t> answers) {
  if (column.form == NarrowColumn::Form::kIds8) {
    keep_ids(mask, column.ids8.data(), answers);
  } else {
    keep_ids(mask, column.ids16.data(), answers);
  }
}

std::optional<NarrowFilter> NarrowFilter::of(const Filter& filter, Reading reading, Joins& joins) {
  NarrowFilter made(filter, reading, joins);
  if (!made.add_wanted(filter.root)) return std::nullopt;
  return made;
}

bool NarrowFilter::add_wanted(const FilterNode& node) {
  if (node.op != FilterNode::Op::kTest)
    return std::ranges::all_of(node.children, [&](const FilterNode& child) { return add_wanted(child); });
  if (node.test.subject == Subject::kStart) return true;
  const Field field = node.test.field;
  if (node.test.subject != Subject::kField) return false;
  if (is_process_field(field)) wanted_.add(kNarrowProcessFields);
  if (reading_ == Reading::kConnections && is_nat_field(field)) return false;
  wanted_.add(field);
  return true;
}

bool NarrowFilter::asks_for_owner(const FilterNode& node) const {
  if (node.op != FilterNode::Op::kTest)
    return std::ranges::any_of(node.children, [&](const FilterNode& child) { return asks_for_owner(child); });
  return reading_ == Reading::kConnections && node.test.subject == Subject::kField &&
         (is_owner_field(node.test.field) || is_process_field(node.test.field));
}

// The rows that the reading speaks of.
void NarrowFilter::begin(const NarrowColumns& columns, const OpenRows* open) {
  mask_.assign(columns.rows, 1);
  if (reading_ == Reading::kRecords) return;
  Test ends;
  ends.field = Field::kKind;
  for (const Kind kind : {Kind::kClose, Kind::kFailed})
    ends.numbers.push_back({static_cast<uint64_t>(kind), static_cast<uint64_t>(kind)});
  const NarrowColumn& kinds = columns.column(Field::kKind);
  keep_answered(mask_, kinds, answers_of(ends, kinds));
  for (const uint16_t row : open->rows) mask_[row] = 1;
}

bool NarrowFilter::keep_matching(const NarrowColumns& columns, const OpenRows* open, bool owner_shown,
                                 std::vector<uint16_t>& rows) {
  rows.clear();
  if (!columns.column(Field::kKind).has_ids()) return false;
  begin(columns, open);
  // Whose acceptor other records may name is known before that is asked.
  const auto children = filter_->root.op == FilterNode::Op::kAll ? std::span<const FilterNode>(filter_->root.children)
                                                                 : std::span<const FilterNode>(&filter_->root, 1);
  for (const FilterNode& child : children) {
    if (asks_for_owner(child)) continue;
    if (!keep(child, columns, mask_)) return false;
    if (none_left(mask_)) return true;
  }
  if (owner_shown || asks_for_owner(filter_->root)) {
    if (std::ranges::any_of(*columns.unnamed_acceptors, [&](uint16_t row) { return mask_[row] != 0; })) return false;
  }
  for (const FilterNode& child : children) {
    if (asks_for_owner(child) && !keep(child, columns, mask_)) return false;
  }
  rows_of(mask_, rows);
  return true;
}

bool NarrowFilter::keep(const FilterNode& node, const NarrowColumns& columns, RowMask& mask) {
  switch (node.op) {
    case FilterNode::Op::kAll:
      return std::ranges::all_of(node.children, [&](const FilterNode& child) { return keep(child, columns, mask); });
    case FilterNode::Op::kAny: {
      RowMask any(mask.size());
      for (const FilterNode& child : node.children) {
        RowMask matching = mask;
        if (!keep(child, columns, matching)) return false;
        add_rows(any, matching);
      }
      mask = std::move(any);
      return true;
    }
    case FilterNode::Op::kNot: {
      RowMask matching = mask;
      if (!keep(node.children.front(), columns, matching)) return false;
      remove_rows(mask, matching);
      return true;
    }
    case FilterNode::Op::kTest: return keep_test(node.test, columns, mask);
  }
  return false;
}

bool NarrowFilter::keep_test(const Test& test, const NarrowColumns& columns, RowMask& mask) {
  if (test.subject == Subject::kStart) {
    keep_started(test, columns, mask);
    return true;
  }
  const NarrowColumn& column = columns.column(test.field);
  if (column.form == NarrowColumn::Form::kNone) return false;
  if (is_process_field(test.field)) return keep_process_values(test, columns, mask);
  if (column.has_ids()) {
    keep_answered(mask, column, answers_of(test, column));
  } else {
    keep_numbers(test, column, mask);
  }
  return true;
}

// What the row itself says has the say; whoever says nothing is answered for by the process.
bool NarrowFilter::keep_process_values(const Test& test, const NarrowColumns& columns, RowMask& mask) {
  const NarrowColumn& own = columns.column(test.field);
  const NarrowProcesses& processes = *columns.processes;
  if (!own.has_ids() || !processes.numbered) return false;
  const bool any_own = own.value_count() > 0;
  std::vector<uint8_t> asked(processes.named.size() + 1);
  for (size_t row = 0; row < mask.size(); ++row) {
    if (mask[row] != 0 && (!any_own || own.id(row) == 0)) asked[processes.ids[row]] = 1;
  }
  std::vector<uint8_t> answers(asked.size());
  KnownProcesses& known = known_[&test];
  for (size_t id = 1; id < asked.size(); ++id) {
    if (asked[id] == 0) continue;
    const ProcessAnswer answer = answer_of(test, processes.named[id - 1], known);
    if (answer == ProcessAnswer::kDepends) return false;
    answers[id] = answer == ProcessAnswer::kYes ? 1 : 0;
  }
  if (!any_own) {
    keep_ids(mask, processes.ids.data(), answers);
    return true;
  }
  const std::vector<uint8_t> own_answers = answers_of(test, own);
  for (size_t row = 0; row < mask.size(); ++row) {
    const uint32_t id = own.id(row);
    mask[row] &= id != 0 ? own_answers[id] : answers[processes.ids[row]];
  }
  return true;
}

ProcessAnswer NarrowFilter::answer_of(const Test& test, const ProcessId& process, KnownProcesses& known) {
  if (known.all) return known.all->answer(process);
  if (const auto found = known.singly.find(process); found != known.singly.end()) return found->second;
  if (known.singly.size() >= joins_->singly_max() && !known.too_many) {
    auto all = ProcessAnswers::of(joins_->view(), test);
    if (!all) {
      status_ = std::unexpected(all.error());
      return ProcessAnswer::kDepends;
    }
    known.all = std::move(*all);
    known.too_many = !known.all;
    if (known.all) return known.all->answer(process);
  }
  if (known.singly.size() >= ProcessAnswers::kProcessesMax) known.singly.clear();
  const std::optional<bool> matches = process_matches(test, *joins_, process);
  if (status_ && !joins_->status()) status_ = joins_->status();
  const ProcessAnswer answer = !matches ? ProcessAnswer::kDepends : *matches ? ProcessAnswer::kYes : ProcessAnswer::kNo;
  known.singly.emplace(process, answer);
  return answer;
}

}  // namespace portbook
