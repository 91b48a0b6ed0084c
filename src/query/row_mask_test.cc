#include "query/row_mask.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>

namespace portbook {
namespace {

// Row by row, what each walk does at once. Sizes around the widths of vector instructions, and a whole block.
constexpr size_t kSizes[] = {0, 1, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 1000, 65'536};

class Masks {
 public:
  explicit Masks(uint64_t seed) : random_(seed) {}
  uint64_t below(uint64_t end) { return random_() % end; }
  RowMask mask(size_t rows) {
    const uint64_t of_ten = below(11);
    RowMask made(rows);
    for (uint8_t& row : made) row = below(10) < of_ten ? 1 : 0;
    return made;
  }
  template <typename Number>
  std::vector<Number> numbers(size_t rows, uint64_t end) {
    std::vector<Number> made(rows);
    for (Number& number : made) number = static_cast<Number>(below(8) == 0 ? random_() : below(end));
    return made;
  }

 private:
  std::mt19937_64 random_;
};

RowMask kept_where(RowMask mask, const std::function<bool(size_t)>& passes) {
  for (size_t row = 0; row < mask.size(); ++row) mask[row] = mask[row] != 0 && passes(row) ? 1 : 0;
  return mask;
}

template <typename Number>
void expect_ranges_kept() {
  constexpr uint64_t kGreatest = std::numeric_limits<Number>::max();
  Masks random(11);
  for (const size_t rows : kSizes) {
    const auto numbers = random.numbers<Number>(rows, 100);
    for (const NumberRange range : {NumberRange{}, NumberRange{0, 0}, NumberRange{1, kGreatest}, NumberRange{20, 50},
                                    NumberRange{50, 20}, NumberRange{kGreatest, UINT64_MAX}, NumberRange{UINT64_MAX, UINT64_MAX}}) {
      const RowMask before = random.mask(rows);
      RowMask mask = before;
      keep_within(mask, numbers.data(), range);
      EXPECT_EQ(mask, kept_where(before, [&](size_t row) { return range.contains(numbers[row]); })) << rows << " " << range.low;
    }
  }
}

TEST(RowMask, KeepsNumbersWithinARange) {
  expect_ranges_kept<uint32_t>();
  expect_ranges_kept<uint64_t>();
}

template <typename Id>
void expect_ids_kept(size_t id_count) {
  Masks random(12);
  for (const size_t rows : kSizes) {
    std::vector<Id> ids(rows);
    for (Id& id : ids) id = static_cast<Id>(random.below(id_count));
    // Every number of passing ids that is compared, each next to it, and some between.
    for (size_t passing = 0; passing <= id_count; passing += passing < 8 || passing + 8 >= id_count ? 1 : (id_count - 8) / 3) {
      std::vector<uint8_t> answers(id_count);
      for (size_t i = 0; i < passing; ++i) answers[i] = 1;
      for (size_t i = id_count; i > 1; --i) std::swap(answers[i - 1], answers[random.below(i)]);
      const RowMask before = random.mask(rows);
      RowMask mask = before;
      keep_ids(mask, ids.data(), answers);
      ASSERT_EQ(mask, kept_where(before, [&](size_t row) { return answers[ids[row]] != 0; })) << rows << " " << passing;
    }
  }
}

TEST(RowMask, KeepsIdsThatPass) {
  expect_ids_kept<uint8_t>(1);
  expect_ids_kept<uint8_t>(6);
  expect_ids_kept<uint8_t>(256);
  expect_ids_kept<uint16_t>(40);
  expect_ids_kept<uint16_t>(65'536);
}

TEST(RowMask, GivesTheRowsThatAreLeft) {
  Masks random(13);
  for (const size_t rows : kSizes) {
    for (int round = 0; round < 12; ++round) {
      const RowMask mask = random.mask(rows);
      std::vector<uint16_t> expected;
      for (size_t row = 0; row < rows; ++row) {
        if (mask[row] != 0) expected.push_back(static_cast<uint16_t>(row));
      }
      std::vector<uint16_t> found{1, 2, 3};  // of another block
      rows_of(mask, found);
      EXPECT_EQ(found, expected) << rows;
      EXPECT_EQ(none_left(mask), expected.empty()) << rows;
      RowMask some = kept_where(mask, [](size_t row) { return row % 3 == 0; });
      RowMask rest = mask;
      remove_rows(rest, some);
      EXPECT_EQ(rest, kept_where(mask, [](size_t row) { return row % 3 != 0; }));
      add_rows(some, rest);
      EXPECT_EQ(some, mask);
    }
  }
}

}  // namespace
}  // namespace portbook
