#include "logs/rotated_files.h"

#include <algorithm>
#include <set>
#include <system_error>

namespace portbook {

namespace {

constexpr int kLooksMax = 5;
constexpr size_t kCounterDigitsMax = 4;  // of "log.12"; longer numbers are dates

bool is_numbering(std::string_view text) {
  if (text.size() < 2 || (text.front() != '.' && text.front() != '-')) return false;
  return std::ranges::any_of(text, [](char c) { return c >= '0' && c <= '9'; }) &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == 'T'; });
}

// With its first sign; empty: the name is not made from the log's.
std::string_view numbering_of(std::string_view log, std::string_view name) {
  if (name.size() <= log.size()) return {};
  std::string_view numbering;
  if (name.starts_with(log)) {
    numbering = name.substr(log.size());
  } else {
    const size_t dot = log.rfind('.');
    if (dot == std::string_view::npos || dot == 0) return {};
    const std::string_view stem = log.substr(0, dot);
    const std::string_view extension = log.substr(dot);
    if (!name.starts_with(stem) || !name.ends_with(extension)) return {};
    numbering = name.substr(stem.size(), name.size() - log.size());
  }
  return is_numbering(numbering) ? numbering : std::string_view();
}

// "log.1" is younger than "log.2"; of dates the later one is.
bool is_counter(std::string_view numbering) {
  return numbering.size() <= kCounterDigitsMax && numbering.find_first_not_of("0123456789") == std::string_view::npos;
}
bool is_younger(std::string_view one, std::string_view other) {
  if (is_counter(one) != is_counter(other)) return false;
  if (!is_counter(one)) return one > other;
  return std::pair(one.size(), one) < std::pair(other.size(), other);
}

void add_folder(const std::filesystem::path& log, std::set<std::pair<uint64_t, uint64_t>>& known, std::vector<RotatedFile>& found) {
  std::error_code error;
  const std::string name = log.filename().string();
  const auto folder = log.parent_path().empty() ? std::filesystem::path(".") : log.parent_path();
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator() && found.size() < kRotatedFilesMax; entry.increment(error)) {
    const std::string beside = entry->path().filename().string();
    const std::string_view numbering = numbering_of(name, beside);
    struct stat about{};
    if (numbering.empty() || stat(entry->path().c_str(), &about) != 0 || !S_ISREG(about.st_mode) ||
        !known.emplace(about.st_dev, about.st_ino).second)
      continue;
    found.push_back({entry->path(), about.st_ino, std::string(numbering.substr(1))});
  }
}

std::vector<RotatedFile> look(const std::filesystem::path& path) {
  std::vector<RotatedFile> found;
  std::set<std::pair<uint64_t, uint64_t>> known;
  struct stat itself{};
  if (stat(path.c_str(), &itself) == 0) known.emplace(itself.st_dev, itself.st_ino);
  add_folder(path, known, found);
  std::error_code error;
  const auto target = std::filesystem::canonical(path, error);
  if (!error && target != path) add_folder(target, known, found);
  std::ranges::sort(found, {}, &RotatedFile::path);
  return found;
}

}  // namespace

bool is_rotated_name(std::string_view log, std::string_view name) {
  return !numbering_of(log, name).empty();
}

// While a rotation renames one file after the other, a listing may miss one or see it twice.
std::vector<RotatedFile> rotated_files(const std::filesystem::path& path) {
  std::vector<RotatedFile> found = look(path);
  for (int i = 1; i < kLooksMax; ++i) {
    std::vector<RotatedFile> again = look(path);
    if (again == found) break;
    found = std::move(again);
  }
  return found;
}

uint64_t rotated_after(const std::vector<RotatedFile>& files, uint64_t inode) {
  const auto current = std::ranges::find(files, inode, &RotatedFile::inode);
  if (current == files.end()) return 0;
  const RotatedFile* next = nullptr;
  for (const RotatedFile& one : files) {
    if (is_younger(one.numbering, current->numbering) && (next == nullptr || is_younger(next->numbering, one.numbering)))
      next = &one;
  }
  return next == nullptr ? 0 : next->inode;
}

}  // namespace portbook
