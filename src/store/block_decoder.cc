#include "store/block_decoder.h"

#include <algorithm>

namespace portbook {

bool BlockDecoder::decode_shapes(ColumnStorage& storage) const {
  for (size_t i = 0; i < shapes_.shapes().size(); ++i) {
    if (storage.shape_id(shapes_.shapes()[i]) != i) return false;  // one shape twice
  }
  for (uint32_t row = 0; row < shapes_.rows(); ++row) storage.shape_ids()[row] = shapes_.shape_of(row);
  return true;
}

template <typename Visit>
void BlockDecoder::for_each_row(Field field, Visit visit) const {
  const uint32_t rows = shapes_.rows();
  if (shapes_.count(field) == rows) {
    for (uint32_t row = 0; row < rows; ++row) visit(row);
    return;
  }
  std::vector<uint8_t> has;
  for (const FieldSet& shape : shapes_.shapes()) has.push_back(shape.has(field) ? 1 : 0);
  for (uint32_t row = 0; row < rows; ++row) {
    if (has[shapes_.shape_of(row)] != 0) visit(row);
  }
}

const std::vector<uint32_t>* BlockDecoder::entries(BlockTable above, BlockTable table) {
  auto& known = entries_[index_of(above)][index_of(table)];
  if (known) return &*known;
  const BlockTable parent = parent_of(table);
  std::vector<uint32_t> ids;
  if (parent == above) {
    if (!block_.ids(table).decode(ids)) return nullptr;
  } else {
    const auto* const to_parent = entries(above, parent);
    const auto* const to_table = entries(parent, table);
    if (to_parent == nullptr || to_table == nullptr) return nullptr;
    ids.resize(to_parent->size());
    std::ranges::transform(*to_parent, ids.begin(), [&](uint32_t entry) { return (*to_table)[entry]; });
  }
  return &known.emplace(std::move(ids));
}

// The numbers of a joint table's word as values, one for each entry.
bool BlockDecoder::entry_values(Field field, size_t half, std::vector<uint64_t>& values) {
  const WordPlan plan = plan_of(field, half);
  const PackedWord& word = block_.field(field).words[half];
  values.resize(block_.entries(plan.table));
  if (!word.numbers->decode(values)) return false;
  if (word.relation == Relation::kNear) {
    const BlockTable near_table = plan_of(plan.near, half).table;
    const auto* const near = near_values(plan, half);
    const auto* const to_near = plan.table == near_table ? nullptr : entries(plan.table, near_table);
    if (near == nullptr || (plan.table != near_table && to_near == nullptr)) return false;
    for (size_t i = 0; i < values.size(); ++i) values[i] = (*near)[to_near == nullptr ? i : (*to_near)[i]] + unzigzag(values[i]);
  } else if (word.relation == Relation::kBelow) {
    const auto* const hosts = entries(plan.table, BlockTable::kHosts);
    if (hosts == nullptr) return false;
    for (size_t i = 0; i < values.size(); ++i) values[i] = word.listed[(*hosts)[i]] - values[i];
  }
  return true;
}

// The numbers of a word that stands with the rows as values, one for each row that has the field.
bool BlockDecoder::relate_rows(Field field, size_t half, std::vector<uint64_t>& values) {
  const WordPlan plan = plan_of(field, half);
  const PackedWord& word = block_.field(field).words[half];
  uint64_t* next = values.data();
  bool good = true;
  if (word.relation == Relation::kOfShape) {
    for_each_row(field, [&](uint32_t row) { good &= word.listed_value(shapes_.shape_of(row), *next, *next), ++next; });
  } else if (word.relation == Relation::kOfHost) {
    const auto* const hosts = entries(BlockTable::kRows, BlockTable::kHosts);
    if (hosts == nullptr) return false;
    for_each_row(field, [&](uint32_t row) { good &= word.listed_value((*hosts)[row], *next, *next), ++next; });
  } else if (word.relation == Relation::kNear) {
    const auto* const near = near_values(plan, half);
    const auto* const connections = plan.near_opening ? entries(BlockTable::kRows, BlockTable::kConnections) : nullptr;
    if (near == nullptr || (plan.near_opening && connections == nullptr)) return false;
    const auto value_near = [&](uint32_t row) {
      *next = (*near)[row] + unzigzag(*next);
      ++next;
    };
    if (connections == nullptr) {
      for_each_row(field, value_near);
      return true;
    }
    std::vector<uint32_t> openings(block_.entries(BlockTable::kConnections));
    for (uint32_t row = shapes_.rows(); row-- > 0;) openings[(*connections)[row]] = row;
    for_each_row(field, [&](uint32_t row) { value_near(openings[(*connections)[row]]); });
  }
  return good;
}

template <typename Take>
bool BlockDecoder::for_each_value(Field field, size_t half, Take take) {
  const WordPlan plan = plan_of(field, half);
  const PackedWord& word = block_.field(field).words[half];
  // Before values_ is in use: they are values of another field.
  if (word.relation == Relation::kNear && near_values(plan, half) == nullptr) return false;
  const BlockTable table = plan.table;
  if (table == BlockTable::kRows) {
    values_.resize(shapes_.count(field));
    if (!word.numbers->decode(values_) || !relate_rows(field, half, values_)) return false;
    const uint64_t* next = values_.data();
    for_each_row(field, [&](uint32_t row) { take(row, *next++); });
    return true;
  }
  const auto* const rows = entries(BlockTable::kRows, table);
  if (rows == nullptr || !entry_values(field, half, values_)) return false;
  for_each_row(field, [&](uint32_t row) { take(row, values_[(*rows)[row]]); });
  return true;
}

const std::vector<uint64_t>* BlockDecoder::near_values(const WordPlan& plan, size_t half) {
  auto& known = near_values_[index_of(plan.near)][half];
  if (known) return &*known;
  std::vector<uint64_t> values;
  if (plan_of(plan.near, half).table != BlockTable::kRows) {
    values.resize(block_.entries(plan_of(plan.near, half).table));
    if (!shapes_.all().has(plan.near)) return &known.emplace(std::move(values));
    if (!entry_values(plan.near, half, values)) return nullptr;
    return &known.emplace(std::move(values));
  }
  values.resize(shapes_.rows());
  if (shapes_.all().has(plan.near) &&
      !for_each_value(plan.near, half, [&](uint32_t row, uint64_t value) { values[row] = value; })) {
    return nullptr;
  }
  return &known.emplace(std::move(values));
}

bool BlockDecoder::decode_texts(Field field, ColumnStorage& storage) {
  Texts& texts = block_.field(field).texts;
  std::vector<TextRef> refs;
  refs.reserve(texts.count());
  for (uint32_t id = 0; id < texts.count(); ++id) {
    std::string_view text;
    if (!texts.get(id, text)) return false;
    refs.push_back(storage.add_text(text));
  }
  TextRef* const to = storage.array<TextRef>(field);
  bool good = true;
  return for_each_value(field, 0,
                        [&](uint32_t row, uint64_t id) {
                          good &= id < refs.size();
                          if (good) to[row] = refs[id];
                        }) &&
         good;
}

bool BlockDecoder::decode(Field field, ColumnStorage& storage) {
  const FieldInfo& about = info(field);
  if (is_text(about.type)) return decode_texts(field, storage);
  if (words_of(about.type) == 2) {
    Wide* const to = storage.array<Wide>(field);
    const auto put = [to](size_t half) {
      return [=](uint32_t row, uint64_t value) { store_big(to[row].data() + half * 8, value); };
    };
    return for_each_value(field, 0, put(0)) && for_each_value(field, 1, put(1));
  }
  bool good = true;
  if (column_width(about.type) == 2) {
    uint16_t* const to = storage.array<uint16_t>(field);
    return for_each_value(field, 0,
                          [&](uint32_t row, uint64_t value) {
                            good &= in_range(about, value);
                            to[row] = static_cast<uint16_t>(value);
                          }) &&
           good;
  }
  uint64_t* const to = storage.array<uint64_t>(field);
  return for_each_value(field, 0,
                        [&](uint32_t row, uint64_t value) {
                          good &= in_range(about, value);
                          to[row] = value;
                        }) &&
         good;
}

}  // namespace portbook
