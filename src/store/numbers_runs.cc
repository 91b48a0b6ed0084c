// The same number several times in a row: u32 number of runs ‖ where each ends ‖ its number. The arrays within are plain ones.
#include <algorithm>

#include "store/numbers.h"

namespace portbook {

namespace {

constexpr size_t kRunLeast = 8;  // shorter ones, on average, are better packed

class RunArray final : public NumberArray {
 public:
  RunArray(std::vector<uint64_t> ends, std::unique_ptr<NumberArray> numbers)
      : ends_(std::move(ends)), numbers_(std::move(numbers)) {}

  bool get(size_t i, uint64_t& number) const override {
    return numbers_->get(static_cast<size_t>(std::ranges::upper_bound(ends_, i) - ends_.begin()), number);
  }
  bool decode(std::span<uint64_t> numbers) const override {
    std::vector<uint64_t> of_runs(ends_.size());
    if (!numbers_->decode(of_runs)) return false;
    size_t at = 0;
    for (size_t run = 0; run < ends_.size(); at = ends_[run++])
      std::fill(numbers.begin() + at, numbers.begin() + ends_[run], of_runs[run]);
    return true;
  }

 private:
  const std::vector<uint64_t> ends_;  // ascending; the last one is the array's count
  const std::unique_ptr<NumberArray> numbers_;
};

}  // namespace

bool encode_runs(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out) {
  std::vector<uint64_t> ends;
  std::vector<uint64_t> of_runs;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i + 1 < numbers.size() && numbers[i + 1] == numbers[i]) continue;
    ends.push_back(i + 1);
    of_runs.push_back(numbers[i]);
    if (ends.size() * kRunLeast > numbers.size()) return false;
  }
  const size_t begin = out.size();
  append_little(out, static_cast<uint32_t>(ends.size()));
  encode_plain_numbers(ends, out);
  encode_plain_numbers(of_runs, out);
  if (out.size() - begin < bytes_max) return true;
  out.resize(begin);
  return false;
}

std::unique_ptr<NumberArray> open_runs(ByteReader& in, size_t count) {
  uint32_t runs = 0;
  if (!in.take(runs) || runs == 0 || runs > count) return nullptr;
  const auto ends_array = open_plain_numbers(in, runs);
  std::vector<uint64_t> ends(runs);
  if (!ends_array || !ends_array->decode(ends) || ends.front() == 0 || ends.back() != count) return nullptr;
  if (std::ranges::adjacent_find(ends, std::greater_equal()) != ends.end()) return nullptr;
  auto numbers = open_plain_numbers(in, runs);
  if (!numbers) return nullptr;
  return std::make_unique<RunArray>(std::move(ends), std::move(numbers));
}

}  // namespace portbook
