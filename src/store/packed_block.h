// A sealed block's columns as they stand in its file, of which any row can be read without unpacking the others.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/result.h"
#include "store/block_layout.h"
#include "store/block_shapes.h"
#include "store/columns.h"
#include "store/entry_ids.h"
#include "store/numbers.h"
#include "store/texts.h"

namespace portbook {

inline constexpr size_t kListMax = 64;  // values of one shape or host

// A word's numbers (block_layout.h), and what its relation needs to make values of them.
struct PackedWord {
  Relation relation = Relation::kNone;
  std::unique_ptr<NumberArray> numbers;  // of each row that has the field; in another table of each entry
  std::vector<uint32_t> list_ends;       // kOfShape, kOfHost: where each list ends among `listed`
  std::vector<uint64_t> listed;          // kBelow: each host's greatest value

  // The value at that place of a list; false if the list is shorter.
  [[nodiscard]] bool listed_value(uint32_t list, uint64_t place, uint64_t& value) const {
    const uint32_t begin = list == 0 ? 0 : list_ends[list - 1];
    if (place >= list_ends[list] - begin) return false;
    value = listed[begin + place];
    return true;
  }
};

struct PackedField {
  std::array<PackedWord, 2> words;
  Texts texts;  // of fields that are texts
};

// Borrows the bytes that it is given. One thread at a time.
class PackedBlock {
 public:
  // `shapes`: the section that a block begins with. Errors: kCorrupt.
  static Result<std::unique_ptr<PackedBlock>> open(ByteView shapes, uint32_t rows);

  [[nodiscard]] const BlockShapes& shapes() const { return shapes_; }
  [[nodiscard]] const EntryIds& ids(BlockTable table) const { return ids_[index_of(table)]; }  // of each entry of its parent
  [[nodiscard]] uint32_t entries(BlockTable table) const {
    return table == BlockTable::kRows ? shapes_.rows() : ids(table).entries();
  }

  // Takes a field's section. Needs a field of shapes().all() that was not added. Errors: kCorrupt, naming the field.
  Status add(Field field, ByteView section);
  [[nodiscard]] bool holds(Field field) const { return fields_[index_of(field)] != nullptr; }
  [[nodiscard]] PackedField& field(Field field) { return *fields_[index_of(field)]; }  // needs holds(field)

  // Reads a row. Needs row < rows, and that with_near_fields() of the row's fields were added. Errors: kCorrupt, naming the field.
  Status read(uint32_t row, Record& record);

 private:
  // A row, and its entries in the tables as far as they were asked for.
  struct Place {
    uint32_t row = 0;
    std::array<uint32_t, kTableCount> entries{};
    uint8_t known = 0;
  };
  bool entry_of(BlockTable table, Place& place, uint32_t& entry) const;
  bool value_of(Field field, size_t half, Place& place, uint64_t& value) const;
  bool near_value(const WordPlan& plan, size_t half, Place& place, uint64_t& value) const;
  bool read_field(Field field, Place& place, Record& record);
  bool open_word(ByteReader& in, Field field, size_t half, PackedWord& word) const;

  BlockShapes shapes_;
  std::array<EntryIds, kTableCount> ids_;
  std::array<std::unique_ptr<PackedField>, kFieldCount> fields_;
};

// True if a record takes the number; it would abort on others.
constexpr bool in_range(const FieldInfo& about, uint64_t number) {
  if (about.type == FieldType::kSigned) return true;
  return number <= about.maximum && (about.type != FieldType::kPort || number != 0);
}

// The column of `field` does not decode.
std::unexpected<Error> bad_column(const std::optional<Field>& field);

}  // namespace portbook
