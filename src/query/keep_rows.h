// Tests of one column at once: the type is settled before the rows are walked, and a text is matched once for the rows that share
// it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "query/filter.h"
#include "store/columns.h"
#include "store/narrow_columns.h"

namespace portbook {

// Which rows have a field: looked up once for each set of fields that the rows have, not for each row.
class HasField {
 public:
  // Speaks of `rows` only.
  HasField(const Columns& columns, Field field, std::span<const uint32_t> rows);
  [[nodiscard]] bool all() const { return all_; }    // of the rows
  [[nodiscard]] bool none() const { return none_; }  // likewise
  bool operator()(uint32_t row) const { return has_[shape_ids_[row]] != 0; }

 private:
  const uint16_t* shape_ids_;
  std::vector<uint8_t> has_;
  bool all_ = true;
  bool none_ = true;
};

// Keeps the rows whose own field `test.field` matches. `test` has subject kField; `rows` is ascending and stays so.
void keep_values(const Columns& columns, const Test& test, std::vector<uint32_t>& rows);

// The same for subject kStart: when the row began, by its record alone.
void keep_started(const Columns& columns, const Test& test, std::vector<uint32_t>& rows);

}  // namespace portbook
