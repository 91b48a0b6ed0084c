// A block's columns as sections of bytes, one for the shapes and one for each field that occurs, and back.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/columns.h"

namespace portbook {

// One column; no field: which shape each row has.
struct ColumnSection {
  std::optional<Field> field;
  Bytes bytes;
};

// The first `rows` rows. The same columns always give the same sections: shapes first, fields ascending.
std::vector<ColumnSection> encode_columns(const Columns& columns, uint32_t rows);

struct ColumnSectionView {
  std::optional<Field> field;
  ByteView bytes;
};
// Columns with the same rows. Errors: kCorrupt, naming the field: the bytes are not what encode_columns() writes for `rows` rows.
Result<std::unique_ptr<Columns>> decode_columns(std::span<const ColumnSectionView> sections, uint32_t rows);
// The same rows with the `wanted` columns only, as far as the block has them. Needs the sections of the shapes (first) and of
// with_near_fields() of those; others may lack. Errors as above.
Result<std::unique_ptr<Columns>> decode_columns(std::span<const ColumnSectionView> sections, uint32_t rows, const FieldSet& wanted);
// Adds wanted columns that `columns`, decoded from the same block, does not hold. Needs the same sections, one thread at a time;
// readers of the other columns are not disturbed. Errors as above; then none of a column that failed is held.
Status decode_more_columns(std::span<const ColumnSectionView> sections, const FieldSet& wanted, Columns& columns);

}  // namespace portbook
