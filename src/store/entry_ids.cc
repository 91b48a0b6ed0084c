#include "store/entry_ids.h"

#include <algorithm>
#include <bit>

namespace portbook {

namespace {

// Fewer entries than one in so many places are listed by place instead of a bit for each place.
constexpr uint32_t kBitmapPlaces = 16;

constexpr uint64_t below_mask(uint32_t bit) {
  return (uint64_t{1} << bit) - 1;
}

}  // namespace

void encode_entry_ids(std::span<const uint32_t> ids, uint32_t entries, Bytes& out) {
  append_little(out, entries);
  if (entries == ids.size()) return;
  std::vector<uint64_t> is_new((ids.size() + 63) / 64);
  std::vector<uint64_t> places;
  std::vector<uint64_t> back;
  for (uint32_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == places.size()) {
      is_new[i / 64] |= uint64_t{1} << i % 64;
      places.push_back(i);
    } else {
      back.push_back(places.size() - 1 - ids[i]);
    }
  }
  if (entries < ids.size() / kBitmapPlaces) {
    encode_plain_numbers(places, out);
  } else {
    for (const uint64_t word : is_new) append_little(out, word);
  }
  encode_numbers(back, out);
}

bool EntryIds::open_places(ByteReader& in) {
  is_new_.assign((count_ + 63) / 64, 0);
  if (entries_ >= count_ / kBitmapPlaces) {
    for (uint64_t& word : is_new_) {
      if (!in.take(word)) return false;
    }
    return count_ % 64 == 0 || is_new_.back() >> count_ % 64 == 0;
  }
  std::vector<uint64_t> places(entries_);
  const auto array = open_plain_numbers(in, entries_);
  if (!array || !array->decode(places)) return false;
  uint64_t place_min = 0;
  for (const uint64_t place : places) {
    if (place < place_min || place >= count_) return false;
    place_min = place + 1;
    is_new_[place / 64] |= uint64_t{1} << place % 64;
  }
  return true;
}

bool EntryIds::open(ByteReader& in, uint32_t count) {
  count_ = count;
  if (!in.take(entries_) || entries_ == 0 || entries_ > count) return false;
  if (entries_ == count) return true;
  if (!open_places(in) || (is_new_[0] & 1) == 0) return false;
  uint32_t before = 0;
  for (const uint64_t word : is_new_) {
    new_before_.push_back(before);
    before += static_cast<uint32_t>(std::popcount(word));
  }
  if (before != entries_) return false;
  entries_back_ = open_numbers(in, count - entries_);
  return entries_back_ != nullptr;
}

bool EntryIds::get(uint32_t i, uint32_t& id) const {
  id = i;
  if (is_new_.empty()) return true;
  const uint64_t word = is_new_[i / 64];
  const uint32_t before = new_before_[i / 64] + static_cast<uint32_t>(std::popcount(word & below_mask(i % 64)));
  id = before;
  if ((word >> i % 64 & 1) != 0) return true;
  uint64_t back = 0;
  if (!entries_back_->get(i - before, back) || back >= before) return false;
  id = static_cast<uint32_t>(before - 1 - back);
  return true;
}

bool EntryIds::decode(std::vector<uint32_t>& ids) const {
  ids.resize(count_);
  if (is_new_.empty()) {
    for (uint32_t i = 0; i < count_; ++i) ids[i] = i;
    return true;
  }
  std::vector<uint64_t> back(count_ - entries_);
  if (!entries_back_->decode(back)) return false;
  const uint64_t* next = back.data();
  uint32_t before = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    if ((is_new_[i / 64] >> i % 64 & 1) != 0) {
      ids[i] = before++;
      continue;
    }
    if (*next >= before) return false;
    ids[i] = static_cast<uint32_t>(before - 1 - *next++);
  }
  return true;
}

uint32_t EntryIds::first_place(uint32_t id) const {
  if (is_new_.empty()) return id;
  const auto after = std::ranges::upper_bound(new_before_, id);
  const auto at = static_cast<uint32_t>(after - new_before_.begin()) - 1;
  uint64_t word = is_new_[at];
  for (uint32_t skip = id - new_before_[at]; skip > 0; --skip) word &= word - 1;
  return at * 64 + static_cast<uint32_t>(std::countr_zero(word));
}

}  // namespace portbook
