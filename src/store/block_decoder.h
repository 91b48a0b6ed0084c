// All values of a column at once: what a scan reads, where PackedBlock::read reads one row.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "store/packed_block.h"

namespace portbook {

// Decodes columns of one block, and keeps what several of them need. Borrows the block. One thread.
// What it accepts is what PackedBlock::read gives: a file that was made to tell the two apart is refused by whoever verifies it.
class BlockDecoder {
 public:
  explicit BlockDecoder(PackedBlock& block) : block_(block), shapes_(block.shapes()) {}

  // Fills the rows' shapes. False: the bytes are not what encode_columns() writes.
  [[nodiscard]] bool decode_shapes(ColumnStorage& storage) const;
  // Fills the array of a field. Needs the block to hold it and the fields near which it stands. False: as above.
  [[nodiscard]] bool decode(Field field, ColumnStorage& storage);

 private:
  // Calls visit(row) for each row that has the field, ascending.
  template <typename Visit>
  void for_each_row(Field field, Visit visit) const;
  const std::vector<uint32_t>* entries(BlockTable above, BlockTable table);
  const std::vector<uint64_t>* near_values(const WordPlan& plan, size_t half);
  bool entry_values(Field field, size_t half, std::vector<uint64_t>& values);
  template <typename Take>
  bool for_each_value(Field field, size_t half, Take take);
  bool relate_rows(Field field, size_t half, std::vector<uint64_t>& values);
  bool decode_texts(Field field, ColumnStorage& storage);

  PackedBlock& block_;
  const BlockShapes& shapes_;
  // For each entry of a table (rows too) its entry of another that it leads to.
  std::array<std::array<std::optional<std::vector<uint32_t>>, kTableCount>, kTableCount> entries_;
  // Of fields near which others stand: for each entry of their table, or each row (0 where a row lacks the field).
  std::array<std::array<std::optional<std::vector<uint64_t>>, 2>, kFieldCount> near_values_;
  std::vector<uint64_t> values_;  // of the word that is being decoded
};

}  // namespace portbook
