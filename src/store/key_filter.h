// Which keys there may be: no key that was added is denied, of others all but some hundredth are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace portbook {

// A byte for each key, in lines of 64: a question reads one of them. One thread while keys are added, then any number.
class KeyFilter {
 public:
  KeyFilter() = default;  // denies every key
  // Needs no more than some 2^38 keys.
  explicit KeyFilter(uint64_t keys) : lines_(keys / kLineBytes + 1) {}

  void add(uint32_t key) {
    const Place place = place_of(key);
    for (size_t i = 0; i < place.line.size(); ++i) lines_[place.at][i] |= place.line[i];
  }
  [[nodiscard]] bool may_have(uint32_t key) const {
    if (lines_.empty()) return false;
    const Place place = place_of(key);
    bool all = true;
    for (size_t i = 0; i < place.line.size(); ++i) all &= (lines_[place.at][i] & place.line[i]) == place.line[i];
    return all;
  }
  [[nodiscard]] size_t bytes() const { return lines_.size() * kLineBytes; }

 private:
  static constexpr size_t kLineBytes = 64;
  static constexpr size_t kBitsOfKey = 5;
  using Line = std::array<uint64_t, kLineBytes / sizeof(uint64_t)>;
  struct Place {
    size_t at = 0;
    Line line{};
  };
  [[nodiscard]] Place place_of(uint32_t key) const {
    uint64_t mixed = (key + 1) * uint64_t{0x9e3779b97f4a7c15};
    mixed = (mixed ^ mixed >> 32) * uint64_t{0xd6e8feb86659fd93};
    mixed ^= mixed >> 32;
    Place place{.at = static_cast<size_t>((mixed & UINT32_MAX) * lines_.size() >> 32)};
    uint64_t bits = mixed * uint64_t{0xff51afd7ed558ccd};
    for (size_t i = 0; i < kBitsOfKey; ++i, bits <<= 9) place.line[bits >> 61] |= uint64_t{1} << (bits >> 55 & 63);
    return place;
  }

  std::vector<Line> lines_;
};

}  // namespace portbook
