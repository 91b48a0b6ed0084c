#include "store/block_shapes.h"

#include <algorithm>
#include <array>

#include "store/numbers.h"

namespace portbook {

namespace {
// How far the rows with a field are counted one by one. With many shapes steps are longer, so that their counts stay few.
constexpr uint32_t kStepRows = 256;
constexpr uint32_t kStepShapes = 64;
}  // namespace

ShapesInUse shapes_in_use(const ColumnStorage& storage, uint32_t rows) {
  std::vector<uint32_t> renumbered(storage.shape_count(), UINT32_MAX);
  ShapesInUse used;
  used.of_row.resize(rows);
  for (uint32_t row = 0; row < rows; ++row) {
    const uint16_t id = storage.shape_ids()[row];
    if (renumbered[id] == UINT32_MAX) {
      renumbered[id] = static_cast<uint32_t>(used.shapes.size());
      used.shapes.push_back(storage.shapes()[id]);
    }
    used.of_row[row] = static_cast<uint16_t>(renumbered[id]);
  }
  return used;
}

void encode_shapes(const ShapesInUse& shapes, Bytes& out) {
  append_little(out, static_cast<uint32_t>(shapes.shapes.size()));
  for (const FieldSet& shape : shapes.shapes) {
    for (const uint64_t word : shape.words()) append_little(out, word);
  }
  encode_numbers(std::vector<uint64_t>(shapes.of_row.begin(), shapes.of_row.end()), out);
}

bool BlockShapes::open(ByteReader& in, uint32_t rows) {
  uint32_t count = 0;
  if (!in.take(count) || count == 0 || count > rows) return false;
  for (uint32_t i = 0; i < count; ++i) {
    std::array<uint64_t, 2> words{};
    if (!in.take(words[0]) || !in.take(words[1])) return false;
    if (kFieldCount < 128 && words[1] >> (kFieldCount - 64) != 0) return false;
    shapes_.push_back(FieldSet::of_words(words));
    shapes_.back().for_each([&](Field field) { all_.add(field); });
  }
  const auto array = open_numbers(in, rows);
  std::vector<uint64_t> ids(rows);
  if (!array || !array->decode(ids)) return false;
  of_row_.resize(rows);
  for (uint32_t row = 0; row < rows; ++row) {
    if (ids[row] >= count) return false;
    of_row_[row] = static_cast<uint16_t>(ids[row]);
  }
  count_steps();
  return true;
}

void BlockShapes::count_steps() {
  const size_t shapes = shapes_.size();
  step_rows_ = kStepRows * static_cast<uint32_t>((shapes + kStepShapes - 1) / kStepShapes);
  std::vector<uint32_t> counts(shapes);
  for (uint32_t row = 0; row < rows(); ++row) {
    if (row % step_rows_ == 0) before_steps_.insert(before_steps_.end(), counts.begin(), counts.end());
    ++counts[of_row_[row]];
  }
  before_steps_.insert(before_steps_.end(), counts.begin(), counts.end());
}

uint32_t BlockShapes::count(Field field, uint32_t row_end) const {
  const size_t shapes = shapes_.size();
  // The counts behind the last step are those of all rows, wherever it ends.
  const size_t step = row_end == rows() ? before_steps_.size() / shapes - 1 : row_end / step_rows_;
  uint32_t count = 0;
  for (size_t shape = 0; shape < shapes; ++shape) {
    if (shapes_[shape].has(field)) count += before_steps_[step * shapes + shape];
  }
  if (row_end == rows()) return count;
  for (size_t row = step * step_rows_; row < row_end; ++row) count += shapes_[of_row_[row]].has(field) ? 1 : 0;
  return count;
}

}  // namespace portbook
