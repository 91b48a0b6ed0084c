#include "store/block_encoder.h"

#include <algorithm>
#include <unordered_map>

#include "store/entry_ids.h"
#include "store/joint_dictionary.h"
#include "store/numbers.h"
#include "store/packed_block.h"
#include "store/texts.h"

namespace portbook {

namespace {

// A relation that leaves so few bytes needs no comparison with the plain values.
constexpr size_t kFewBytes = 24;

void append_lists(const std::vector<std::vector<uint64_t>>& lists, Bytes& out) {
  std::vector<uint64_t> lengths;
  std::vector<uint64_t> values;
  for (const auto& list : lists) {
    lengths.push_back(list.size());
    values.insert(values.end(), list.begin(), list.end());
  }
  encode_plain_numbers(lengths, out);
  encode_plain_numbers(values, out);
}

}  // namespace

BlockEncoder::BlockEncoder(const Columns& columns, uint32_t rows)
    : storage_(columns.storage()), rows_(rows), shapes_(shapes_in_use(storage_, rows)) {
  std::vector<uint32_t> rows_of(shapes_.shapes.size());
  for (const uint16_t shape : shapes_.of_row) ++rows_of[shape];
  for (size_t i = 0; i < rows_of.size(); ++i) {
    shapes_.shapes[i].for_each([&](Field field) {
      all_.add(field);
      counts_[index_of(field)] += rows_of[i];
    });
  }
  all_.for_each([&](Field field) { fill_words(field); });
  make_tables();
}

template <typename Visit>
void BlockEncoder::for_each_row(Field field, Visit visit) const {
  if (counts_[index_of(field)] == rows_) {
    for (uint32_t row = 0; row < rows_; ++row) visit(row);
    return;
  }
  const std::vector<uint8_t> has = shapes_with(field);
  for (uint32_t row = 0; row < rows_; ++row) {
    if (has[shapes_.of_row[row]] != 0) visit(row);
  }
}

// For each shape 1 if it has the field, else 0.
std::vector<uint8_t> BlockEncoder::shapes_with(Field field) const {
  std::vector<uint8_t> has;
  for (const FieldSet& shape : shapes_.shapes) has.push_back(shape.has(field) ? 1 : 0);
  return has;
}

// Calls visit(row, value) for each row that has the field, ascending.
template <typename Visit>
void BlockEncoder::for_each_word(Field field, size_t half, Visit visit) const {
  const FieldType type = info(field).type;
  if (is_text(type)) {
    for_each_row(field, [&](uint32_t row) { visit(row, words_[index_of(field)].halves[0][row]); });
  } else if (words_of(type) == 2) {
    const Wide* const values = storage_.array<Wide>(field);
    for_each_row(field, [&](uint32_t row) { visit(row, load_big<uint64_t>(values[row].data() + half * 8)); });
  } else if (column_width(type) == 2) {
    const uint16_t* const values = storage_.array<uint16_t>(field);
    for_each_row(field, [&](uint32_t row) { visit(row, uint64_t{values[row]}); });
  } else {
    const uint64_t* const values = storage_.array<uint64_t>(field);
    for_each_row(field, [&](uint32_t row) { visit(row, values[row]); });
  }
}

void BlockEncoder::fill_words(Field field) {
  if (is_text(info(field).type)) return fill_texts(field);
  for (size_t half = 0; half < words_of(info(field).type); ++half) {
    if (plan_of(field, half).table == BlockTable::kRows && !has_near_fields(field)) continue;
    Words& words = words_[index_of(field)].halves[half];
    words.resize(rows_);
    for_each_word(field, half, [&](uint32_t row, uint64_t value) { words[row] = value; });
  }
}

// The same place in the arena is the same text; most rows have one that was seen lately.
void BlockEncoder::fill_texts(Field field) {
  struct Lately {
    TextRef ref{UINT32_MAX, UINT32_MAX};
    uint32_t id = 0;
  };
  std::vector<Lately> lately(1024);
  std::unordered_map<std::string_view, uint32_t> ids;
  auto& [halves, texts] = words_[index_of(field)];
  halves[0].resize(rows_);
  const TextRef* const refs = storage_.array<TextRef>(field);
  for_each_row(field, [&](uint32_t row) {
    const TextRef ref = refs[row].length == 0 ? TextRef{} : refs[row];
    Lately& seen = lately[(ref.offset * 0x9e3779b9U >> 22)];
    if (seen.ref != ref) {
      const std::string_view text = ref.length == 0 ? std::string_view{} : storage_.text(ref);
      const auto [place, is_new] = ids.try_emplace(text, static_cast<uint32_t>(texts.size()));
      if (is_new) texts.push_back(text);
      seen = {ref, place->second};
    }
    halves[0][row] = seen.id;
  });
}

// Which of the table's fields each row has, as a number: rows that differ in this are different entries.
BlockEncoder::Words BlockEncoder::presence_of(BlockTable table) const {
  std::vector<FieldSet> sets;
  std::vector<uint64_t> of_shape;
  for (const FieldSet& shape : shapes_.shapes) {
    FieldSet set;
    shape.for_each([&](Field field) {
      for (size_t half = 0; half < words_of(info(field).type); ++half) {
        if (leads_to(table, plan_of(field, half).table)) set.add(field);
      }
    });
    const auto known = std::ranges::find(sets, set);
    of_shape.push_back(static_cast<uint64_t>(known - sets.begin()));
    if (known == sets.end()) sets.push_back(set);
  }
  Words words(rows_);
  for (uint32_t row = 0; row < rows_; ++row) words[row] = of_shape[shapes_.of_row[row]];
  return words;
}

void BlockEncoder::make_tables() {
  for (const BlockTable table : kJointTables) {
    const BlockTable parent = parent_of(table);
    const std::vector<uint32_t>& parent_rows = tables_[index_of(parent)].first_rows;  // of kRows: none, each row is itself
    std::vector<Words> gathered;
    std::vector<const Words*> columns;
    const auto take = [&](const Words& of_rows) {
      if (parent == BlockTable::kRows) {
        columns.push_back(&of_rows);
        return;
      }
      Words& at_entries = gathered.emplace_back(parent_rows.size());
      std::ranges::transform(parent_rows, at_entries.begin(), [&](uint32_t row) { return of_rows[row]; });
    };
    const Words presence = presence_of(table);
    take(presence);
    all_.for_each([&](Field field) {
      for (size_t half = 0; half < words_of(info(field).type); ++half) {
        if (leads_to(table, plan_of(field, half).table)) take(words_[index_of(field)].halves[half]);
      }
    });
    for (const Words& words : gathered) columns.push_back(&words);
    JointDictionary joint = find_joint(columns, parent == BlockTable::kRows ? rows_ : static_cast<uint32_t>(parent_rows.size()));
    if (parent != BlockTable::kRows) {
      for (uint32_t& first : joint.firsts) first = parent_rows[first];
    }
    std::vector<uint16_t> shapes(joint.firsts.size());
    std::ranges::transform(joint.firsts, shapes.begin(), [&](uint32_t row) { return shapes_.of_row[row]; });
    tables_[index_of(table)] = {std::move(joint.ids), std::move(joint.firsts), std::move(shapes)};
  }
}

// For each entry of `above`, one of the joint tables, its entry of `table`.
std::vector<uint32_t> BlockEncoder::entries(BlockTable above, BlockTable table) const {
  const std::vector<uint32_t>& ids = tables_[index_of(table)].ids;
  const BlockTable parent = parent_of(table);
  if (parent == above) return ids;
  std::vector<uint32_t> to_parent = entries(above, parent);
  for (uint32_t& entry : to_parent) entry = ids[entry];
  return to_parent;
}

Bytes BlockEncoder::encode_shapes() {
  Bytes bytes;
  portbook::encode_shapes(shapes_, bytes);
  for (const BlockTable table : kJointTables) {
    const TableRows& of = tables_[index_of(table)];
    encode_entry_ids(of.ids, static_cast<uint32_t>(of.first_rows.size()), bytes);
  }
  return bytes;
}

// Of each row that has the field; in a joint table of each entry, where one that lacks the field repeats the one before.
BlockEncoder::Words BlockEncoder::plain_values(Field field, size_t half) const {
  const BlockTable table = plan_of(field, half).table;
  if (table == BlockTable::kRows) {
    Words values(counts_[index_of(field)]);
    uint64_t* next = values.data();
    for_each_word(field, half, [&](uint32_t, uint64_t value) { *next++ = value; });
    return values;
  }
  const Words& of_rows = words_[index_of(field)].halves[half];
  const TableRows& entries = tables_[index_of(table)];
  const std::vector<uint8_t> has = shapes_with(field);
  Words values(entries.first_rows.size());
  uint64_t last = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t value = of_rows[entries.first_rows[i]];
    last = has[entries.shapes[i]] != 0 ? value : last;
    values[i] = last;
  }
  return values;
}

// The values near which a word's values stand.
BlockEncoder::Words BlockEncoder::near_values(Field field, size_t half) const {
  const WordPlan plan = plan_of(field, half);
  if (plan.table != BlockTable::kRows) {
    const Words of_near = plain_values(plan.near, half);
    const BlockTable near_table = plan_of(plan.near, half).table;
    if (near_table == plan.table) return of_near;
    const std::vector<uint32_t> to_near = entries(plan.table, near_table);
    Words values(to_near.size());
    for (size_t i = 0; i < values.size(); ++i) values[i] = of_near[to_near[i]];
    return values;
  }
  const Words& of_rows = words_[index_of(plan.near)].halves[half];
  const TableRows& connections = tables_[index_of(BlockTable::kConnections)];
  Words values(counts_[index_of(field)]);
  uint64_t* next = values.data();
  if (plan.near_opening) {
    for_each_row(field, [&](uint32_t row) { *next++ = of_rows[connections.first_rows[connections.ids[row]]]; });
  } else {
    for_each_row(field, [&](uint32_t row) { *next++ = of_rows[row]; });
  }
  return values;
}

Bytes BlockEncoder::relate_near(Field field, size_t half, const Words& plain) const {
  const BlockTable table = plan_of(field, half).table;
  Words values = near_values(field, half);
  for (size_t i = 0; i < values.size(); ++i) values[i] = zigzag(plain[i] - values[i]);
  if (table != BlockTable::kRows) {
    const std::vector<uint8_t> has = shapes_with(field);
    const std::vector<uint16_t>& shapes = tables_[index_of(table)].shapes;
    for (size_t i = 0; i < values.size(); ++i) values[i] = has[shapes[i]] != 0 ? values[i] : 0;
  }
  Bytes bytes;
  encode_numbers(values, bytes);
  return bytes;
}

Bytes BlockEncoder::relate_below(Field field, size_t half, const Words& plain) const {
  const BlockTable table = plan_of(field, half).table;
  const std::vector<uint32_t> hosts = entries(table, BlockTable::kHosts);
  const std::vector<uint16_t>& shapes = tables_[index_of(table)].shapes;
  const std::vector<uint8_t> has = shapes_with(field);
  Words greatest(tables_[index_of(BlockTable::kHosts)].first_rows.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    if (has[shapes[i]] != 0) greatest[hosts[i]] = std::max(greatest[hosts[i]], plain[i]);
  }
  Words values(plain.size());
  for (size_t i = 0; i < plain.size(); ++i) values[i] = has[shapes[i]] != 0 ? greatest[hosts[i]] - plain[i] : 0;
  Bytes bytes;
  encode_plain_numbers(greatest, bytes);
  encode_numbers(values, bytes);
  return bytes;
}

// Lists of the values that rows of one shape or host have, in order of first appearance. Nothing if one would be too long.
std::optional<Bytes> BlockEncoder::relate_listed(Field field, Relation relation) const {
  const bool by_host = relation == Relation::kOfHost;
  std::vector<uint32_t> hosts;
  if (by_host) {
    hosts = entries(BlockTable::kConnections, BlockTable::kHosts);
    std::vector<uint32_t> of_rows(rows_);
    const std::vector<uint32_t>& connections = tables_[index_of(BlockTable::kConnections)].ids;
    for (uint32_t row = 0; row < rows_; ++row) of_rows[row] = hosts[connections[row]];
    hosts = std::move(of_rows);
  }
  std::vector<std::vector<uint64_t>> lists(by_host ? tables_[index_of(BlockTable::kHosts)].first_rows.size()
                                                   : shapes_.shapes.size());
  Words places(counts_[index_of(field)]);
  uint64_t* next = places.data();
  bool too_long = false;
  for_each_word(field, 0, [&](uint32_t row, uint64_t value) {
    auto& list = lists[by_host ? hosts[row] : shapes_.of_row[row]];
    size_t place = list.size();
    while (place > 0 && list[place - 1] != value) --place;
    if (place == 0) {
      too_long |= list.size() == kListMax;
      if (too_long) return;
      list.push_back(value);
      place = list.size();
    }
    *next++ = place - 1;
  });
  if (too_long) return std::nullopt;
  Bytes bytes;
  append_lists(lists, bytes);
  encode_numbers(places, bytes);
  return bytes;
}

std::optional<Bytes> BlockEncoder::relate(Field field, size_t half, const Words& plain) const {
  const WordPlan plan = plan_of(field, half);
  switch (plan.relation) {
    case Relation::kNone: return std::nullopt;
    case Relation::kNear: return all_.has(plan.near) ? std::optional(relate_near(field, half, plain)) : std::nullopt;
    case Relation::kBelow: return relate_below(field, half, plain);
    default: return relate_listed(field, plan.relation);
  }
}

void BlockEncoder::encode_word(Field field, size_t half, Bytes& out) const {
  const Words values = plain_values(field, half);
  const auto related = relate(field, half, values);
  Bytes plain;
  if (!related || related->size() > kFewBytes) encode_numbers(values, plain);
  const bool use_related = related && (plain.empty() || related->size() < plain.size());
  out.push_back(static_cast<Byte>(use_related ? plan_of(field, half).relation : Relation::kNone));
  append(out, use_related ? *related : plain);
}

Bytes BlockEncoder::encode_field(Field field) {
  Bytes bytes;
  for (size_t half = 0; half < words_of(info(field).type); ++half) encode_word(field, half, bytes);
  if (is_text(info(field).type)) encode_texts(words_[index_of(field)].texts, bytes);
  return bytes;
}

}  // namespace portbook
