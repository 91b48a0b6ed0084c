#include "store/packed_block.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

bool open_lists(ByteReader& in, uint32_t lists, PackedWord& word) {
  std::vector<uint64_t> lengths(lists);
  const auto array = open_plain_numbers(in, lists);
  if (!array || !array->decode(lengths)) return false;
  uint32_t end = 0;
  for (const uint64_t length : lengths) {
    if (length > kListMax) return false;
    end += static_cast<uint32_t>(length);
    word.list_ends.push_back(end);
  }
  word.listed.resize(end);
  const auto values = open_plain_numbers(in, end);
  return values && values->decode(word.listed);
}

}  // namespace

std::unexpected<Error> bad_column(const std::optional<Field>& field) {
  return fail(ErrorCode::kCorrupt, fmt::format("the column of {} does not decode", field ? info(*field).name : "shapes"));
}

Result<std::unique_ptr<PackedBlock>> PackedBlock::open(ByteView shapes, uint32_t rows) {
  if (rows == 0 || rows > kBlockRowsMax) return fail(ErrorCode::kCorrupt, fmt::format("a block of {} rows", rows));
  auto block = std::make_unique<PackedBlock>();
  ByteReader in(shapes);
  if (!block->shapes_.open(in, rows)) return bad_column(std::nullopt);
  for (const BlockTable table : kJointTables) {
    if (!block->ids_[index_of(table)].open(in, block->entries(parent_of(table)))) return bad_column(std::nullopt);
  }
  if (!in.done()) return bad_column(std::nullopt);
  return block;
}

bool PackedBlock::open_word(ByteReader& in, Field field, size_t half, PackedWord& word) const {
  const WordPlan plan = plan_of(field, half);
  Byte relation = 0;
  if (!in.take(relation)) return false;
  word.relation = static_cast<Relation>(relation);
  if (word.relation != Relation::kNone && word.relation != plan.relation) return false;
  if (word.relation == Relation::kOfShape && !open_lists(in, static_cast<uint32_t>(shapes_.shapes().size()), word)) return false;
  if (word.relation == Relation::kOfHost && !open_lists(in, entries(BlockTable::kHosts), word)) return false;
  if (word.relation == Relation::kBelow) {
    word.listed.resize(entries(BlockTable::kHosts));
    const auto greatest = open_plain_numbers(in, word.listed.size());
    if (!greatest || !greatest->decode(word.listed)) return false;
  }
  word.numbers = open_numbers(in, plan.table == BlockTable::kRows ? shapes_.count(field) : entries(plan.table));
  return word.numbers != nullptr;
}

Status PackedBlock::add(Field field, ByteView section) {
  PB_CHECK(!holds(field) && shapes_.all().has(field));
  const FieldInfo& about = info(field);
  auto packed = std::make_unique<PackedField>();
  ByteReader in(section);
  for (size_t half = 0; half < words_of(about.type); ++half) {
    if (!open_word(in, field, half, packed->words[half])) return bad_column(field);
  }
  if (is_text(about.type) && !packed->texts.open(in, shapes_.rows(), about.maximum)) return bad_column(field);
  if (!in.done()) return bad_column(field);
  fields_[index_of(field)] = std::move(packed);
  return {};
}

bool PackedBlock::entry_of(BlockTable table, Place& place, uint32_t& entry) const {
  entry = place.row;
  if (table == BlockTable::kRows) return true;
  const size_t at = index_of(table);
  if ((place.known >> at & 1) == 0) {
    uint32_t parent = 0;
    if (!entry_of(parent_of(table), place, parent) || !ids_[at].get(parent, place.entries[at])) return false;
    place.known |= static_cast<uint8_t>(1U << at);
  }
  entry = place.entries[at];
  return true;
}

bool PackedBlock::near_value(const WordPlan& plan, size_t half, Place& place, uint64_t& value) const {
  value = 0;
  if (!shapes_.all().has(plan.near)) return true;
  if (plan_of(plan.near, half).table != BlockTable::kRows) return value_of(plan.near, half, place, value);
  Place opening = place;
  if (plan.near_opening) {
    uint32_t connection = 0;
    if (!entry_of(BlockTable::kConnections, place, connection)) return false;
    opening = {.row = ids(BlockTable::kConnections).first_place(connection)};
  }
  return !shapes_.fields(opening.row).has(plan.near) || value_of(plan.near, half, opening, value);
}

bool PackedBlock::value_of(Field field, size_t half, Place& place, uint64_t& value) const {
  const WordPlan plan = plan_of(field, half);
  const PackedWord& word = fields_[index_of(field)]->words[half];
  uint32_t at = 0;
  if (!entry_of(plan.table, place, at)) return false;
  if (plan.table == BlockTable::kRows) at = shapes_.count(field, place.row);
  uint64_t number = 0;
  if (!word.numbers->get(at, number)) return false;
  value = number;
  uint32_t host = 0;
  switch (word.relation) {
    case Relation::kNone: return true;
    case Relation::kNear:
      if (!near_value(plan, half, place, value)) return false;
      value += unzigzag(number);
      return true;
    case Relation::kOfShape: return word.listed_value(shapes_.shape_of(place.row), number, value);
    case Relation::kOfHost: return entry_of(BlockTable::kHosts, place, host) && word.listed_value(host, number, value);
    case Relation::kBelow:
      if (!entry_of(BlockTable::kHosts, place, host)) return false;
      value = word.listed[host] - number;
      return true;
  }
  return false;
}

bool PackedBlock::read_field(Field field, Place& place, Record& record) {
  const FieldInfo& about = info(field);
  uint64_t value = 0;
  if (!value_of(field, 0, place, value)) return false;
  if (is_text(about.type)) {
    Texts& texts = this->field(field).texts;
    std::string_view text;
    if (value >= texts.count() || !texts.get(static_cast<uint32_t>(value), text)) return false;
    record.set(field, text);
    return true;
  }
  if (words_of(about.type) == 2) {
    uint64_t low = 0;
    if (!value_of(field, 1, place, low)) return false;
    Wide wide;
    store_big(wide.data(), value);
    store_big(wide.data() + 8, low);
    if (about.type == FieldType::kIp) {
      record.set(field, Ip{wide});
    } else {
      record.set(field, wide);
    }
    return true;
  }
  if (!in_range(about, value)) return false;
  if (about.type == FieldType::kSigned) {
    record.set_signed(field, static_cast<int64_t>(value));
  } else {
    record.set(field, value);
  }
  return true;
}

Status PackedBlock::read(uint32_t row, Record& record) {
  PB_CHECK(row < shapes_.rows());
  record.clear();
  Place place{.row = row};
  std::optional<Field> bad;
  shapes_.fields(row).for_each([&](Field field) {
    if (!bad && !read_field(field, place, record)) bad = field;
  });
  if (bad) return bad_column(bad);
  return {};
}

}  // namespace portbook
