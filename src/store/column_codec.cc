#include "store/column_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "store/number_codec.h"

namespace portbook {

namespace {

bool is_text(FieldType type) {
  return type == FieldType::kText || type == FieldType::kCbor;
}
bool is_wide(FieldType type) {
  return column_width(type) == 16;
}

// Which rows have a field, by shape, so that a column is walked without looking at each row's set of fields.
class Presence {
 public:
  Presence(const ColumnStorage& storage, Field field, uint32_t rows) : ids_(storage.shape_ids()), rows_(rows) {
    has_.reserve(storage.shape_count());
    for (uint32_t i = 0; i < storage.shape_count(); ++i) has_.push_back(storage.shapes()[i].has(field));
  }
  // Calls visit(row) for each row that has the field, ascending.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (uint32_t row = 0; row < rows_; ++row) {
      if (has_[ids_[row]] != 0) visit(row);
    }
  }
  [[nodiscard]] uint32_t count() const {
    uint32_t count = 0;
    for_each([&](uint32_t) { ++count; });
    return count;
  }

 private:
  const uint16_t* ids_;
  uint32_t rows_;
  std::vector<uint8_t> has_;
};

class BlockEncoder {
 public:
  BlockEncoder(const Columns& columns, uint32_t rows) : storage_(columns.storage()), rows_(rows) {}

  // Only what rows use: a shape may have come with a row that is not among them. Shapes are numbered anew in order of appearance,
  // so that the bytes do not depend on how the columns came to be.
  Bytes encode_shapes(FieldSet& all) {
    std::vector<uint32_t> renumbered(storage_.shape_count(), UINT32_MAX);
    std::vector<FieldSet> shapes;
    numbers_.clear();
    for (uint32_t row = 0; row < rows_; ++row) {
      const uint16_t id = storage_.shape_ids()[row];
      if (renumbered[id] == UINT32_MAX) {
        renumbered[id] = static_cast<uint32_t>(shapes.size());
        shapes.push_back(storage_.shapes()[id]);
      }
      numbers_.push_back(renumbered[id]);
    }
    Bytes bytes;
    append_little(bytes, static_cast<uint32_t>(shapes.size()));
    for (const FieldSet& shape : shapes) {
      shape.for_each([&](Field field) { all.add(field); });
      for (const uint64_t word : shape.words()) append_little(bytes, word);
    }
    encoder_.encode(numbers_, bytes);
    return bytes;
  }

  Bytes encode_field(Field field) {
    const Presence present(storage_, field, rows_);
    Bytes bytes;
    if (is_text(info(field).type)) {
      encode_texts(present, storage_.array<TextRef>(field), bytes);
    } else if (is_wide(info(field).type)) {
      const Wide* const values = storage_.array<Wide>(field);
      for (const size_t half : {size_t{0}, size_t{8}}) {
        numbers_.clear();
        present.for_each([&](uint32_t row) { numbers_.push_back(load_big<uint64_t>(values[row].data() + half)); });
        encoder_.encode(numbers_, bytes);
      }
    } else {
      numbers_.clear();
      if (column_width(info(field).type) == 2) {
        const uint16_t* const values = storage_.array<uint16_t>(field);
        present.for_each([&](uint32_t row) { numbers_.push_back(values[row]); });
      } else {
        const uint64_t* const values = storage_.array<uint64_t>(field);
        present.for_each([&](uint32_t row) { numbers_.push_back(values[row]); });
      }
      encoder_.encode(numbers_, bytes);
    }
    return bytes;
  }

 private:
  // The distinct texts in order of appearance, and which of them each row has.
  void encode_texts(const Presence& present, const TextRef* refs, Bytes& bytes) {
    std::unordered_map<std::string_view, uint32_t> ids;
    std::vector<std::string_view> distinct;
    Bytes joined;
    TextRef last{UINT32_MAX, UINT32_MAX};
    uint32_t last_id = 0;
    numbers_.clear();
    present.for_each([&](uint32_t row) {
      if (refs[row] != last) {
        last = refs[row];
        const std::string_view text = last.length == 0 ? std::string_view{} : storage_.text(last);
        const auto [place, is_new] = ids.try_emplace(text, static_cast<uint32_t>(distinct.size()));
        if (is_new) distinct.push_back(text);
        last_id = place->second;
      }
      numbers_.push_back(last_id);
    });
    std::vector<uint64_t> lengths;
    for (const std::string_view text : distinct) {
      lengths.push_back(text.size());
      append(joined, as_bytes(text));
    }
    append_little(bytes, static_cast<uint32_t>(distinct.size()));
    append_little(bytes, static_cast<uint32_t>(joined.size()));
    encoder_.encode(numbers_, bytes);
    encoder_.encode(lengths, bytes);
    encoder_.encode_bytes(joined, bytes);
  }

  const ColumnStorage& storage_;
  const uint32_t rows_;
  NumberEncoder encoder_;
  std::vector<uint64_t> numbers_;
};

class BlockDecoder {
 public:
  explicit BlockDecoder(uint32_t rows) : rows_(rows), storage_(std::make_unique<ColumnStorage>()) {}

  bool decode_shapes(ByteReader in, FieldSet& all) {
    uint32_t count = 0;
    if (!in.take(count) || count == 0 || count > rows_) return false;
    for (uint32_t i = 0; i < count; ++i) {
      std::array<uint64_t, 2> words{};
      if (!in.take(words[0]) || !in.take(words[1])) return false;
      const FieldSet shape = FieldSet::of_words(words);
      if (kFieldCount < 128 && words[1] >> (kFieldCount - 64) != 0) return false;
      if (storage_->shape_id(shape) != i) return false;  // one shape twice
      shape.for_each([&](Field field) { all.add(field); });
    }
    numbers_.resize(rows_);
    if (!decoder_.decode(in, numbers_) || !in.done()) return false;
    for (uint32_t row = 0; row < rows_; ++row) {
      if (numbers_[row] >= count) return false;
      storage_->shape_ids()[row] = static_cast<uint16_t>(numbers_[row]);
    }
    return true;
  }

  bool decode_field(ByteReader in, Field field) {
    const Presence present(*storage_, field, rows_);
    const FieldInfo& about = info(field);
    numbers_.resize(present.count());
    if (is_text(about.type)) return decode_texts(in, present, field) && in.done();
    if (is_wide(about.type)) {
      Wide* const values = storage_->array<Wide>(field);
      for (const size_t half : {size_t{0}, size_t{8}}) {
        if (!decoder_.decode(in, numbers_)) return false;
        const uint64_t* next = numbers_.data();
        present.for_each([&](uint32_t row) { store_big(values[row].data() + half, *next++); });
      }
      return in.done();
    }
    if (!decoder_.decode(in, numbers_) || !in.done()) return false;
    if (std::ranges::any_of(numbers_, [&](uint64_t number) { return !in_range(about, number); })) return false;
    const uint64_t* next = numbers_.data();
    if (column_width(about.type) == 2) {
      uint16_t* const values = storage_->array<uint16_t>(field);
      present.for_each([&](uint32_t row) { values[row] = static_cast<uint16_t>(*next++); });
    } else {
      uint64_t* const values = storage_->array<uint64_t>(field);
      present.for_each([&](uint32_t row) { values[row] = *next++; });
    }
    return true;
  }

  std::unique_ptr<ColumnStorage> take() { return std::move(storage_); }

 private:
  // A record refuses other numbers by aborting, so they must not get that far.
  static bool in_range(const FieldInfo& about, uint64_t number) {
    if (about.type == FieldType::kSigned) return true;
    return number <= about.maximum && (about.type != FieldType::kPort || number != 0);
  }

  bool decode_texts(ByteReader& in, const Presence& present, Field field) {
    uint32_t distinct = 0;
    uint32_t joined_bytes = 0;
    if (!in.take(distinct) || !in.take(joined_bytes) || distinct > numbers_.size()) return false;
    std::vector<uint64_t> lengths(distinct);
    if (!decoder_.decode(in, numbers_) || !decoder_.decode(in, lengths)) return false;
    uint64_t total = 0;
    for (const uint64_t length : lengths) {
      if (length > info(field).maximum) return false;
      total += length;
    }
    if (total != joined_bytes) return false;
    Bytes joined(joined_bytes);
    if (!decoder_.decode_bytes(in, joined)) return false;
    std::vector<TextRef> refs;
    refs.reserve(distinct);
    size_t at = 0;
    for (const uint64_t length : lengths) {
      refs.push_back(storage_->add_text(as_text(ByteView(joined).subspan(at, length))));
      at += length;
    }
    if (std::ranges::any_of(numbers_, [&](uint64_t id) { return id >= distinct; })) return false;
    TextRef* const values = storage_->array<TextRef>(field);
    const uint64_t* next = numbers_.data();
    present.for_each([&](uint32_t row) { values[row] = refs[*next++]; });
    return true;
  }

  const uint32_t rows_;
  std::unique_ptr<ColumnStorage> storage_;
  NumberDecoder decoder_;
  std::vector<uint64_t> numbers_;
};

std::unexpected<Error> bad_section(const std::optional<Field>& field) {
  return fail(ErrorCode::kCorrupt, fmt::format("the column of {} does not decode", field ? info(*field).name : "shapes"));
}

}  // namespace

std::vector<ColumnSection> encode_columns(const Columns& columns, uint32_t rows) {
  BlockEncoder encoder(columns, rows);
  std::vector<ColumnSection> sections;
  FieldSet all;
  sections.push_back({std::nullopt, encoder.encode_shapes(all)});
  all.for_each([&](Field field) { sections.push_back({field, encoder.encode_field(field)}); });
  return sections;
}

Result<std::unique_ptr<Columns>> decode_columns(std::span<const ColumnSectionView> sections, uint32_t rows) {
  if (rows == 0 || rows > kBlockRowsMax) return fail(ErrorCode::kCorrupt, fmt::format("a block of {} rows", rows));
  BlockDecoder decoder(rows);
  FieldSet all;
  if (sections.empty() || sections[0].field || !decoder.decode_shapes(ByteReader(sections[0].bytes), all)) {
    return bad_section(std::nullopt);
  }
  FieldSet seen;
  for (const ColumnSectionView& section : sections.subspan(1)) {
    if (!section.field || seen.has(*section.field) || !all.has(*section.field)) return bad_section(section.field);
    seen.add(*section.field);
    if (!decoder.decode_field(ByteReader(section.bytes), *section.field)) return bad_section(section.field);
  }
  if (seen != all) return fail(ErrorCode::kCorrupt, "a column is missing");
  return std::make_unique<Columns>(decoder.take(), rows);
}

}  // namespace portbook
