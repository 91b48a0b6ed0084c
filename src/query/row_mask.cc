#include "query/row_mask.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/bytes.h"

namespace portbook {

namespace {

constexpr size_t kComparedIdsMax = 4;  // so many ids are compared one by one; more are looked up in a table

// kept[row] &= passes(row), without a branch. By value: bytes that are written could be those of what `passes` holds.
template <typename Passes>
[[gnu::always_inline]] inline void walk(uint8_t* __restrict kept, size_t rows, Passes passes) {
  for (size_t row = 0; row < rows; ++row) kept[row] &= static_cast<uint8_t>(passes(row));
}

#if defined(__x86_64__)
template <typename Passes>
[[gnu::target("avx2")]] void walk_avx2(uint8_t* kept, size_t rows, Passes passes) {
  walk(kept, rows, passes);
}
#endif

// The same with the widest vector instructions that this machine has, as far as the compiler finds any.
template <typename Passes>
void keep_where(RowMask& mask, Passes passes) {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) {
    walk_avx2(mask.data(), mask.size(), passes);
    return;
  }
#endif
  walk(mask.data(), mask.size(), passes);
}

template <typename Number>
void keep_numbers_within(RowMask& mask, const Number* numbers, const NumberRange& range) {
  constexpr uint64_t kGreatest = std::numeric_limits<Number>::max();
  if (range.low > range.high || range.low > kGreatest) {
    keep_none(mask);
    return;
  }
  const auto low = static_cast<Number>(range.low);
  const auto width = static_cast<Number>(std::min(range.high, kGreatest) - range.low);
  keep_where(mask, [=](size_t row) { return static_cast<Number>(numbers[row] - low) <= width; });
}

// The ids with that answer, if they are few.
std::vector<size_t> few_with(std::span<const uint8_t> answers, uint8_t answer) {
  std::vector<size_t> ids;
  for (size_t id = 0; id < answers.size() && ids.size() <= kComparedIdsMax; ++id) {
    if (answers[id] == answer) ids.push_back(id);
  }
  return ids;
}

template <typename Id>
std::array<Id, kComparedIdsMax> padded(const std::vector<size_t>& ids) {
  std::array<Id, kComparedIdsMax> made;
  for (size_t i = 0; i < made.size(); ++i) made[i] = static_cast<Id>(ids[std::min(i, ids.size() - 1)]);
  return made;
}

template <typename Id>
void keep_any_ids(RowMask& mask, const Id* ids, std::span<const uint8_t> answers) {
  const std::vector<size_t> passing = few_with(answers, 1);
  const std::vector<size_t> failing = few_with(answers, 0);
  if (failing.empty()) return;
  if (passing.empty()) {
    keep_none(mask);
  } else if (passing.size() == 1) {
    const auto a = static_cast<Id>(passing.front());
    keep_where(mask, [=](size_t row) { return ids[row] == a; });
  } else if (passing.size() <= kComparedIdsMax) {
    keep_where(mask, [=, few = padded<Id>(passing)](size_t row) {
      const Id id = ids[row];
      return int{id == few[0]} | int{id == few[1]} | int{id == few[2]} | int{id == few[3]};
    });
  } else if (failing.size() <= kComparedIdsMax) {
    keep_where(mask, [=, few = padded<Id>(failing)](size_t row) {
      const Id id = ids[row];
      return int{id != few[0]} & int{id != few[1]} & int{id != few[2]} & int{id != few[3]};
    });
  } else {
    const uint8_t* const answer = answers.data();
    for (size_t row = 0; row < mask.size(); ++row) mask[row] &= answer[ids[row]];
  }
}

}  // namespace

void keep_none(RowMask& mask) {
  std::ranges::fill(mask, uint8_t{0});
}

void keep_within(RowMask& mask, const uint32_t* numbers, const NumberRange& range) {
  keep_numbers_within(mask, numbers, range);
}
void keep_within(RowMask& mask, const uint64_t* numbers, const NumberRange& range) {
  keep_numbers_within(mask, numbers, range);
}

void keep_ids(RowMask& mask, const uint8_t* ids, std::span<const uint8_t> answers) {
  keep_any_ids(mask, ids, answers);
}
void keep_ids(RowMask& mask, const uint16_t* ids, std::span<const uint8_t> answers) {
  keep_any_ids(mask, ids, answers);
}

void add_rows(RowMask& mask, const RowMask& others) {
  for (size_t row = 0; row < mask.size(); ++row) mask[row] |= others[row];
}

void remove_rows(RowMask& mask, const RowMask& others) {
  for (size_t row = 0; row < mask.size(); ++row) mask[row] ^= others[row];
}

bool none_left(const RowMask& mask) {
  return mask.empty() || std::memchr(mask.data(), 1, mask.size()) == nullptr;
}

void rows_of(const RowMask& mask, std::vector<uint16_t>& rows) {
  rows.resize(mask.size());
  uint16_t* next = rows.data();
  size_t row = 0;
  for (; row + 8 <= mask.size(); row += 8) {
    // Mostly none of eight are left, or all: then they need not be looked at one by one.
    const auto eight = load_little<uint64_t>(mask.data() + row);
    if (eight == 0) continue;
    for (size_t i = 0; i < 8; ++i) {
      *next = static_cast<uint16_t>(row + i);
      next += mask[row + i];
    }
  }
  for (; row < mask.size(); ++row) {
    *next = static_cast<uint16_t>(row);
    next += mask[row];
  }
  rows.resize(static_cast<size_t>(next - rows.data()));
}

}  // namespace portbook
