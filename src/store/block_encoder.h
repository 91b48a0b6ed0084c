// A block's columns as sections of a file: what column_codec.h promises.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "store/block_layout.h"
#include "store/block_shapes.h"
#include "store/columns.h"

namespace portbook {

// For one block, once. Borrows the columns. One thread.
class BlockEncoder {
 public:
  BlockEncoder(const Columns& columns, uint32_t rows);

  // Fields that any row has, ascending.
  [[nodiscard]] const FieldSet& fields() const { return all_; }
  Bytes encode_shapes();
  Bytes encode_field(Field field);

 private:
  using Words = std::vector<uint64_t>;
  struct FieldWords {
    // Of each row, 0 where it lacks the field; of texts, of fields in joint tables, and of those near which others stand.
    std::array<Words, 2> halves;
    std::vector<std::string_view> texts;  // in order of first appearance
  };
  struct TableRows {
    std::vector<uint32_t> ids;         // of each entry of the parent
    std::vector<uint32_t> first_rows;  // of each entry
    std::vector<uint16_t> shapes;      // of each entry's first row
  };

  template <typename Visit>
  void for_each_row(Field field, Visit visit) const;
  template <typename Visit>
  void for_each_word(Field field, size_t half, Visit visit) const;
  [[nodiscard]] std::vector<uint8_t> shapes_with(Field field) const;
  void fill_words(Field field);
  void fill_texts(Field field);
  Words presence_of(BlockTable table) const;
  void make_tables();
  [[nodiscard]] std::vector<uint32_t> entries(BlockTable above, BlockTable table) const;

  [[nodiscard]] Words plain_values(Field field, size_t half) const;
  [[nodiscard]] Words near_values(Field field, size_t half) const;
  [[nodiscard]] std::optional<Bytes> relate(Field field, size_t half, const Words& plain) const;
  [[nodiscard]] Bytes relate_near(Field field, size_t half, const Words& plain) const;
  [[nodiscard]] Bytes relate_below(Field field, size_t half, const Words& plain) const;
  [[nodiscard]] std::optional<Bytes> relate_listed(Field field, Relation relation) const;
  void encode_word(Field field, size_t half, Bytes& out) const;

  const ColumnStorage& storage_;
  const uint32_t rows_;
  ShapesInUse shapes_;
  FieldSet all_;
  std::array<uint32_t, kFieldCount> counts_{};  // rows that have each field
  std::array<FieldWords, kFieldCount> words_;
  std::array<TableRows, kTableCount> tables_;
};

}  // namespace portbook
