#include "book/handed_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <optional>
#include <utility>

namespace portbook {

namespace {

constexpr size_t kDigitsOfWord = 16;

// All of `text`, or nothing.
std::optional<uint64_t> number(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool TreeSizes::add(uint64_t size) {
  const uint64_t bit = size % kGroupLeaves;
  if (bit == 0) return false;
  uint64_t& word = groups_[size - bit][bit / 64];
  const uint64_t before = std::exchange(word, word | uint64_t{1} << bit % 64);
  return word != before;
}

void TreeSizes::remove_below(uint64_t size) {
  groups_.erase(groups_.begin(), groups_.lower_bound(size - size % kGroupLeaves));
}

std::vector<uint64_t> TreeSizes::between(uint64_t from, uint64_t to) const {
  std::vector<uint64_t> found;
  for (auto at = groups_.lower_bound(from - from % kGroupLeaves); at != groups_.end() && at->first < to; at++) {
    for (uint64_t bit = 1; bit < kGroupLeaves; bit++) {
      const uint64_t size = at->first + bit;
      if ((at->second[bit / 64] >> bit % 64 & 1) != 0 && size >= from && size < to) found.push_back(size);
    }
  }
  return found;
}

std::string TreeSizes::text() const {
  std::string text;
  for (const auto& [first, group] : groups_) {
    int bits = 0;
    for (const uint64_t some : group) bits += std::popcount(some);
    const auto word = std::ranges::find_if(group, [](uint64_t some) { return some != 0; });
    if (bits == 1)
      text += fmt::format("{}\n", first + 64 * (word - group.begin()) + std::countr_zero(*word));
    else
      text += fmt::format("{}:{:016x}{:016x}{:016x}{:016x}\n", first, group[3], group[2], group[1], group[0]);
  }
  return text;
}

void TreeSizes::take_line(std::string_view line) {
  const size_t colon = line.find(':');
  const auto first = number(line.substr(0, colon), 10);
  if (!first) return;
  if (colon == std::string_view::npos) {
    add(*first);
    return;
  }
  const std::string_view digits = line.substr(colon + 1);
  Group group{};
  if (digits.size() != kDigitsOfWord * group.size() || *first % kGroupLeaves != 0) return;
  for (size_t word = 0; word < group.size(); word++) {
    const auto value = number(digits.substr((group.size() - 1 - word) * kDigitsOfWord, kDigitsOfWord), 16);
    if (!value) return;
    group[word] = *value;
  }
  for (uint64_t bit = 1; bit < kGroupLeaves; bit++)
    if ((group[bit / 64] >> bit % 64 & 1) != 0) add(*first + bit);
}

void TreeSizes::take(std::string_view text) {
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    take_line(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

Status HandedOut::open() {
  const auto bytes = read_file(disk_, kHandedOutFileName, kHandedOutBytesMax);
  if (!bytes && bytes.error().code != ErrorCode::kNotFound) return std::unexpected(bytes.error());
  rewrite_ = true;  // a torn last line would tear the next one too
  if (bytes) sizes_.take(as_text(*bytes));
  return {};
}

void HandedOut::note(uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (size == last_noted_) return;
  last_noted_ = size;
  noted_.push_back(size);
}

Status HandedOut::write_all() {
  file_.reset();
  rewrite_ = true;
  const std::string text = sizes_.text();
  if (Status done = write_file(disk_, kHandedOutFileName, as_bytes(text)); !done) return done;
  unwritten_.clear();
  lines_ = 0;
  file_bytes_ = text.size();
  rewrite_ = false;
  return {};
}

Status HandedOut::write() {
  {
    const std::lock_guard lock(mutex_);
    for (const uint64_t size : noted_)
      if (sizes_.add(size)) unwritten_.push_back(size);
    noted_.clear();
  }
  if (unwritten_.empty()) return {};
  if (rewrite_ || lines_ > std::max(kHandedOutLinesMin, sizes_.groups())) return write_all();
  if (!file_) {
    auto file = disk_.open_to_write(kHandedOutFileName);
    if (!file) return std::unexpected(file.error());
    file_ = std::move(*file);
  }
  std::string text;
  for (const uint64_t size : unwritten_) text += fmt::format("{}\n", size);
  rewrite_ = true;  // until it is known that all of it is there
  if (Status done = file_->write_at(file_bytes_, as_bytes(text)); !done) return done;
  if (Status done = file_->sync(); !done) return done;
  rewrite_ = false;
  file_bytes_ += text.size();
  lines_ += unwritten_.size();
  unwritten_.clear();
  return {};
}

std::vector<uint64_t> HandedOut::between(uint64_t from, uint64_t to) const {
  TreeSizes found;
  for (const uint64_t size : sizes_.between(from, to)) found.add(size);
  {
    const std::lock_guard lock(mutex_);
    for (const uint64_t size : noted_) found.add(size);
  }
  return found.between(from, to);
}

Status HandedOut::forget_below(uint64_t size) {
  sizes_.remove_below(size);
  return write_all();
}

}  // namespace portbook
