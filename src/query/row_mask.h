// One byte for each row of a block, 1 while the row is still in question: what tests of whole columns leave. Each test is one walk
// over two arrays without branches, so that the compiler makes vector instructions of it, the widest that the machine has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "query/filter.h"

namespace portbook {

using RowMask = std::vector<uint8_t>;

// Each keeps of the rows in question those that pass. The arrays have as many entries as the mask.
void keep_none(RowMask& mask);
void keep_within(RowMask& mask, const uint32_t* numbers, const NumberRange& range);
void keep_within(RowMask& mask, const uint64_t* numbers, const NumberRange& range);
// `answers`: 1 for each id that passes, else 0; one for every id that occurs.
void keep_ids(RowMask& mask, const uint8_t* ids, std::span<const uint8_t> answers);
void keep_ids(RowMask& mask, const uint16_t* ids, std::span<const uint8_t> answers);
// Rows that are in question in either.
void add_rows(RowMask& mask, const RowMask& others);
// Rows that are in question and not in `others`, all of which are in question.
void remove_rows(RowMask& mask, const RowMask& others);

[[nodiscard]] bool none_left(const RowMask& mask);
// The rows in question, ascending. Needs at most 65,536.
void rows_of(const RowMask& mask, std::vector<uint16_t>& rows);

}  // namespace portbook
