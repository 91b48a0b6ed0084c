// Which fields each row of a sealed block has: its shape, one of a few sets of fields.
#pragma once

#include <cstdint>
#include <vector>

#include "store/byte_reader.h"
#include "store/columns.h"

namespace portbook {

// The shapes that the first `rows` rows use, numbered anew in order of first appearance, so that the bytes do not depend on how the
// columns came to be.
struct ShapesInUse {
  std::vector<FieldSet> shapes;
  std::vector<uint16_t> of_row;
};
ShapesInUse shapes_in_use(const ColumnStorage& storage, uint32_t rows);

// Appends u32 shapes ‖ for each two u64, a bit for each field's key ‖ the shape of each row as numbers.
void encode_shapes(const ShapesInUse& shapes, Bytes& out);

// The counterpart. Thread-safe once opened.
class BlockShapes {
 public:
  // Takes `rows` rows. False: the bytes are not what encode_shapes() writes.
  [[nodiscard]] bool open(ByteReader& in, uint32_t rows);
  [[nodiscard]] uint32_t rows() const { return static_cast<uint32_t>(of_row_.size()); }
  [[nodiscard]] const std::vector<FieldSet>& shapes() const { return shapes_; }
  [[nodiscard]] uint16_t shape_of(uint32_t row) const { return of_row_[row]; }
  [[nodiscard]] const FieldSet& fields(uint32_t row) const { return shapes_[of_row_[row]]; }
  // Fields that any row has.
  [[nodiscard]] const FieldSet& all() const { return all_; }
  // How many rows below `row_end` <= rows() have the field.
  [[nodiscard]] uint32_t count(Field field, uint32_t row_end) const;
  [[nodiscard]] uint32_t count(Field field) const { return count(field, rows()); }

 private:
  void count_steps();

  std::vector<FieldSet> shapes_;
  std::vector<uint16_t> of_row_;
  FieldSet all_;
  uint32_t step_rows_ = 0;
  std::vector<uint32_t> before_steps_;  // for each step of rows, how many rows before it have each shape
};

}  // namespace portbook
