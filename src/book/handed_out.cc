#include "book/handed_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace portbook {

namespace {

void sort_once(std::vector<uint64_t>& sizes) {
  std::ranges::sort(sizes);
  sizes.erase(std::ranges::unique(sizes).begin(), sizes.end());
}

}  // namespace

std::vector<uint64_t> parse_handed_out(std::string_view text) {
  std::vector<uint64_t> sizes;
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    const std::string_view line = text.substr(0, end);
    uint64_t size = 0;
    const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), size);
    if (error == std::errc{} && rest == line.data() + line.size()) sizes.push_back(size);
    text.remove_prefix(end + 1);
  }
  sort_once(sizes);
  return sizes;
}

std::string handed_out_text(const std::vector<uint64_t>& sizes) {
  std::string text;
  for (const uint64_t size : sizes) text += fmt::format("{}\n", size);
  return text;
}

Status HandedOut::open() {
  const auto bytes = read_file(disk_, kHandedOutFileName, kHandedOutBytesMax);
  if (!bytes && bytes.error().code != ErrorCode::kNotFound) return std::unexpected(bytes.error());
  if (!bytes) {
    rewrite_ = true;
    return {};
  }
  sizes_ = parse_handed_out(as_text(*bytes));
  written_ = sizes_.size();
  file_bytes_ = bytes->size();
  rewrite_ = handed_out_text(sizes_).size() != file_bytes_;
  return {};
}

void HandedOut::note(uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (size == last_noted_) return;
  last_noted_ = size;
  noted_.push_back(size);
}

Status HandedOut::write_all() {
  sort_once(sizes_);
  file_.reset();
  rewrite_ = true;
  const std::string text = handed_out_text(sizes_);
  if (Status done = write_file(disk_, kHandedOutFileName, as_bytes(text)); !done) return done;
  written_ = sizes_.size();
  file_bytes_ = text.size();
  rewrite_ = false;
  return {};
}

Status HandedOut::write() {
  {
    const std::lock_guard lock(mutex_);
    sizes_.insert(sizes_.end(), noted_.begin(), noted_.end());
    noted_.clear();
  }
  if (written_ == sizes_.size()) return {};
  if (rewrite_) return write_all();
  if (!file_) {
    auto file = disk_.open_to_write(kHandedOutFileName);
    if (!file) return std::unexpected(file.error());
    file_ = std::move(*file);
  }
  const std::string text = handed_out_text({sizes_.begin() + static_cast<ptrdiff_t>(written_), sizes_.end()});
  rewrite_ = true;  // until it is known that all of it is there
  if (Status done = file_->write_at(file_bytes_, as_bytes(text)); !done) return done;
  if (Status done = file_->sync(); !done) return done;
  rewrite_ = false;
  file_bytes_ += text.size();
  written_ = sizes_.size();
  return {};
}

std::vector<uint64_t> HandedOut::between(uint64_t from, uint64_t to) const {
  std::vector<uint64_t> found;
  const auto take = [&](const std::vector<uint64_t>& sizes) {
    std::ranges::copy_if(sizes, std::back_inserter(found), [&](uint64_t size) { return size >= from && size < to; });
  };
  take(sizes_);
  {
    const std::lock_guard lock(mutex_);
    take(noted_);
  }
  sort_once(found);
  return found;
}

Status HandedOut::forget_below(uint64_t size) {
  std::erase_if(sizes_, [&](uint64_t one) { return one < size; });
  return write_all();
}

}  // namespace portbook
