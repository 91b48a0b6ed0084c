#include "query/narrow_filter.h"

#include <algorithm>

namespace portbook {

namespace {

bool in_any(const std::vector<NumberRange>& ranges, uint64_t value) {
  return std::ranges::any_of(ranges, [&](const NumberRange& range) { return range.contains(value); });
}

// mask[row] &= passes(row), without a branch.
template <typename Passes>
void keep_where(std::vector<uint8_t>& mask, Passes passes) {
  uint8_t* const kept = mask.data();
  const size_t rows = mask.size();
  for (size_t row = 0; row < rows; ++row) kept[row] &= static_cast<uint8_t>(passes(row));
}

// The answer for each id of a column; the first is that of rows that lack the field.
std::vector<uint8_t> answers_of(const Test& test, const NarrowColumn& column) {
  std::vector<uint8_t> answers(std::max<size_t>(column.value_count() + 1, 256));
  Record one;
  for (size_t i = 0; i < column.value_count(); ++i) {
    column.set_value(test.field, i, one);
    answers[i + 1] = own_value_matches(test, one) ? 1 : 0;
  }
  return answers;
}

// For each of the block's shapes whether it has the field.
std::vector<uint8_t> shapes_with(const NarrowColumns& columns, Field field) {
  std::vector<uint8_t> with;
  for (const FieldSet& shape : columns.shapes) with.push_back(shape.has(field) ? 1 : 0);
  return with;
}

void keep_started(const Test& test, const NarrowColumns& columns, std::vector<uint8_t>& mask) {
  const NarrowBeginnings& beginnings = *columns.beginnings;
  const auto covers = [&](const NumberRange& range) { return range.low <= beginnings.least && range.high >= beginnings.greatest; };
  if (beginnings.all_have_time && std::ranges::any_of(test.numbers, covers)) return;
  const uint64_t* const began = beginnings.began.data();
  if (test.numbers.size() == 1 && beginnings.all_have_time) {
    const NumberRange range = test.numbers.front();
    keep_where(mask, [=](size_t row) { return began[row] >= range.low && began[row] <= range.high; });
    return;
  }
  const std::vector<uint8_t> has_time = shapes_with(columns, Field::kTime);
  keep_where(mask, [&](size_t row) { return has_time[columns.shape_ids[row]] != 0 && in_any(test.numbers, began[row]); });
}

}  // namespace

std::optional<NarrowFilter> NarrowFilter::of(const Filter& filter, Reading reading, bool owner_shown) {
  NarrowFilter made(filter, reading, owner_shown);
  if (!made.add_wanted(filter.root)) return std::nullopt;
  return made;
}

bool NarrowFilter::add_wanted(const FilterNode& node) {
  if (node.op != FilterNode::Op::kTest)
    return std::ranges::all_of(node.children, [&](const FilterNode& child) { return add_wanted(child); });
  if (node.test.subject == Subject::kStart) return true;
  const Field field = node.test.field;
  if (node.test.subject != Subject::kField || is_process_field(field)) return false;
  if (reading_ == Reading::kConnections && is_nat_field(field)) return false;
  wanted_.add(field);
  return true;
}

bool NarrowFilter::asks_for_owner(const FilterNode& node) const {
  if (node.op != FilterNode::Op::kTest)
    return std::ranges::any_of(node.children, [&](const FilterNode& child) { return asks_for_owner(child); });
  return reading_ == Reading::kConnections && node.test.subject == Subject::kField && is_owner_field(node.test.field);
}

// The rows that the reading speaks of.
void NarrowFilter::begin(const NarrowColumns& columns, const OpenRows* open) {
  mask_.assign(columns.rows, reading_ == Reading::kRecords ? 1 : 0);
  if (reading_ == Reading::kRecords) return;
  Test ends;
  ends.field = Field::kKind;
  for (const Kind kind : {Kind::kClose, Kind::kFailed})
    ends.numbers.push_back({static_cast<uint64_t>(kind), static_cast<uint64_t>(kind)});
  const NarrowColumn& kinds = columns.column(Field::kKind);
  const std::vector<uint8_t> answers = answers_of(ends, kinds);
  for (size_t row = 0; row < mask_.size(); ++row) mask_[row] = answers[kinds.id(row)];
  for (const uint16_t row : open->rows) mask_[row] = 1;
}

bool NarrowFilter::keep_matching(const NarrowColumns& columns, const OpenRows* open, std::vector<uint16_t>& rows) {
  if (!columns.column(Field::kKind).has_ids()) return false;
  begin(columns, open);
  // Whose acceptor other records may name is known before that is asked.
  const auto children = filter_->root.op == FilterNode::Op::kAll ? std::span<const FilterNode>(filter_->root.children)
                                                                 : std::span<const FilterNode>(&filter_->root, 1);
  for (const FilterNode& child : children) {
    if (!asks_for_owner(child) && !keep(child, columns, mask_)) return false;
  }
  if (owner_shown_ || asks_for_owner(filter_->root)) {
    if (std::ranges::any_of(*columns.unnamed_acceptors, [&](uint16_t row) { return mask_[row] != 0; })) return false;
  }
  for (const FilterNode& child : children) {
    if (asks_for_owner(child) && !keep(child, columns, mask_)) return false;
  }
  rows.resize(columns.rows);
  size_t kept = 0;
  for (size_t row = 0; row < mask_.size(); ++row) {
    rows[kept] = static_cast<uint16_t>(row);
    kept += mask_[row];
  }
  rows.resize(kept);
  return true;
}

bool NarrowFilter::keep(const FilterNode& node, const NarrowColumns& columns, Mask& mask) {
  switch (node.op) {
    case FilterNode::Op::kAll:
      return std::ranges::all_of(node.children, [&](const FilterNode& child) { return keep(child, columns, mask); });
    case FilterNode::Op::kAny: {
      Mask any(mask.size());
      for (const FilterNode& child : node.children) {
        Mask matching = mask;
        if (!keep(child, columns, matching)) return false;
        for (size_t row = 0; row < any.size(); ++row) any[row] |= matching[row];
      }
      mask = std::move(any);
      return true;
    }
    case FilterNode::Op::kNot: {
      Mask matching = mask;
      if (!keep(node.children.front(), columns, matching)) return false;
      for (size_t row = 0; row < mask.size(); ++row) mask[row] ^= matching[row];
      return true;
    }
    case FilterNode::Op::kTest: return keep_test(node.test, columns, mask);
  }
  return false;
}

bool NarrowFilter::keep_test(const Test& test, const NarrowColumns& columns, Mask& mask) {
  if (test.subject == Subject::kStart) {
    keep_started(test, columns, mask);
    return true;
  }
  const NarrowColumn& column = columns.column(test.field);
  if (!column.has_ids()) return keep_numbers(test, columns, mask);
  const std::vector<uint8_t> answers = answers_of(test, column);
  const uint8_t* const answer = answers.data();
  if (column.form == NarrowColumn::Form::kIds8) {
    keep_where(mask, [answer, ids = column.ids8.data()](size_t row) { return answer[ids[row]]; });
  } else {
    keep_where(mask, [answer, ids = column.ids16.data()](size_t row) { return answer[ids[row]]; });
  }
  return true;
}

bool NarrowFilter::keep_numbers(const Test& test, const NarrowColumns& columns, Mask& mask) {
  const NarrowColumn& column = columns.column(test.field);
  if (column.form == NarrowColumn::Form::kNone) return false;
  const std::vector<uint8_t> has = shapes_with(columns, test.field);
  const uint64_t flipped = info(test.field).type == FieldType::kSigned ? biased(0) : 0;
  const bool narrow = column.form == NarrowColumn::Form::kNumbers32;
  keep_where(mask, [&](size_t row) {
    if (has[columns.shape_ids[row]] == 0) return false;
    const uint64_t number = narrow ? column.base + column.numbers32[row] : column.numbers64[row];
    return test.any_value || in_any(test.numbers, number ^ flipped);
  });
  return true;
}

}  // namespace portbook
