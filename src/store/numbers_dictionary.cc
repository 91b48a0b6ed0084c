// Wide numbers that are few: u32 how many different ones ‖ they, ascending ‖ which one stands at each place. The arrays within are
// plain ones.
#include <algorithm>
#include <bit>

#include "store/numbers.h"

namespace portbook {

namespace {

constexpr size_t kDictionaryMax = 16'384;  // different numbers
constexpr size_t kUsesLeast = 4;           // of each, on average
constexpr size_t kSampleNumbers = 2'048;
constexpr unsigned kSlotBits = 16;

class DictionaryArray final : public NumberArray {
 public:
  DictionaryArray(std::vector<uint64_t> distinct, std::unique_ptr<NumberArray> ids)
      : distinct_(std::move(distinct)), ids_(std::move(ids)) {}

  bool get(size_t i, uint64_t& number) const override {
    uint64_t id = 0;
    if (!ids_->get(i, id) || id >= distinct_.size()) return false;
    number = distinct_[id];
    return true;
  }
  bool decode(std::span<uint64_t> numbers) const override {
    if (!ids_->decode(numbers)) return false;
    for (uint64_t& number : numbers) {
      if (number >= distinct_.size()) return false;
      number = distinct_[number];
    }
    return true;
  }

 private:
  const std::vector<uint64_t> distinct_;
  const std::unique_ptr<NumberArray> ids_;
};

// The different numbers, each with a slot of a hash table that says its place among them.
class DistinctNumbers {
 public:
  DistinctNumbers() : slots_(size_t{1} << kSlotBits) {}

  // False if there are more than `most`, or if ids of as many as the first numbers have would already take `bytes_max` bytes.
  bool find(std::span<const uint64_t> numbers, size_t most, size_t bytes_max) {
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (i == kSampleNumbers && numbers.size() / 8 * static_cast<size_t>(std::bit_width(appeared_.size() - 1)) > bytes_max)
        return false;
      uint16_t& slot = slot_of(numbers[i]);
      if (slot != 0) continue;
      if (appeared_.size() == most) return false;
      appeared_.push_back(numbers[i]);
      slot = static_cast<uint16_t>(appeared_.size());
    }
    return true;
  }
  // In ascending order; rank_of() then says where.
  std::vector<uint64_t> sort() {
    std::vector<uint64_t> ascending = appeared_;
    std::ranges::sort(ascending);
    ranks_.resize(ascending.size());
    for (size_t rank = 0; rank < ascending.size(); ++rank) ranks_[slot_of(ascending[rank]) - 1U] = static_cast<uint16_t>(rank);
    return ascending;
  }
  uint64_t rank_of(uint64_t number) { return ranks_[slot_of(number) - 1U]; }

 private:
  // Where that number's place plus one stands; 0 if it is new.
  uint16_t& slot_of(uint64_t number) {
    size_t slot = number * 0x9e3779b97f4a7c15U >> (64 - kSlotBits);
    while (slots_[slot] != 0 && appeared_[slots_[slot] - 1U] != number) slot = (slot + 1) % slots_.size();
    return slots_[slot];
  }

  std::vector<uint16_t> slots_;
  std::vector<uint64_t> appeared_;  // in order of first appearance
  std::vector<uint16_t> ranks_;     // of those
};

}  // namespace

bool encode_dictionary(std::span<const uint64_t> numbers, size_t bytes_max, Bytes& out) {
  // Ids take about a bit a number at the least.
  if (bytes_max < numbers.size() / 4) return false;
  DistinctNumbers distinct;
  if (!distinct.find(numbers, std::min(kDictionaryMax, numbers.size() / kUsesLeast), bytes_max)) return false;
  const std::vector<uint64_t> ascending = distinct.sort();
  const size_t begin = out.size();
  append_little(out, static_cast<uint32_t>(ascending.size()));
  encode_plain_numbers(ascending, out);
  std::vector<uint64_t> ids(numbers.size());
  std::ranges::transform(numbers, ids.begin(), [&](uint64_t number) { return distinct.rank_of(number); });
  encode_plain_numbers(ids, out);
  if (out.size() - begin < bytes_max) return true;
  out.resize(begin);
  return false;
}

std::unique_ptr<NumberArray> open_dictionary(ByteReader& in, size_t count) {
  uint32_t distinct = 0;
  if (!in.take(distinct) || distinct == 0 || distinct > kDictionaryMax) return nullptr;
  const auto array = open_plain_numbers(in, distinct);
  std::vector<uint64_t> numbers(distinct);
  if (!array || !array->decode(numbers)) return nullptr;
  auto ids = open_plain_numbers(in, count);
  if (!ids) return nullptr;
  return std::make_unique<DictionaryArray>(std::move(numbers), std::move(ids));
}

}  // namespace portbook
