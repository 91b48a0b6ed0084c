#include "capture/cgroups.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

namespace portbook {

namespace {

// Groups remembered until the file system is asked which are still there.
constexpr size_t kPathsMax = 200'000;
constexpr size_t kContainerDigits = 64;

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

}  // namespace

std::string_view container_of(std::string_view path) {
  size_t end = path.size();
  while (end > 0) {
    size_t begin = end;
    while (begin > 0 && is_hex(path[begin - 1])) --begin;
    if (end - begin == kContainerDigits) return path.substr(begin, kContainerDigits);
    end = begin == end ? end - 1 : begin;
  }
  return {};
}

std::string pod_of(std::string_view path) {
  constexpr size_t kUidLength = 36;
  for (size_t at = path.find("pod"); at != std::string_view::npos; at = path.find("pod", at + 1)) {
    std::string uid(path.substr(at + 3, kUidLength));
    std::ranges::replace(uid, '_', '-');
    if (uid.size() != kUidLength) return {};
    bool well_formed = true;
    for (size_t i = 0; i < kUidLength; ++i) {
      const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
      well_formed = well_formed && (dash ? uid[i] == '-' : is_hex(uid[i]));
    }
    if (well_formed) return uid;
  }
  return {};
}

void Cgroups::scan(const CgroupMounts& mounts) {
  mounts_ = mounts;
  places_.clear();
  for (const int version1 : {0, 1}) {
    auto& paths = paths_[version1];
    paths.clear();
    const std::string& root = version1 != 0 ? mounts.version1 : mounts.version2;
    if (root.empty()) continue;
    std::vector<std::filesystem::path> folders{root};
    while (!folders.empty()) {
      const std::filesystem::path folder = std::move(folders.back());
      folders.pop_back();
      struct stat about{};
      if (stat(folder.c_str(), &about) != 0) continue;
      // A group's id is its directory's inode number on 64-bit kernels.
      std::string path = folder.string().substr(root.size());
      paths.insert_or_assign(about.st_ino, path.empty() ? "/" : std::move(path));
      // One that vanishes meanwhile ends its own list only.
      std::error_code error;
      for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        std::error_code ignored;
        if (at->is_directory(ignored) && !at->is_symlink(ignored)) folders.push_back(at->path());
      }
    }
  }
  paths_max_ = std::max(kPathsMax, 2 * std::max(paths_[0].size(), paths_[1].size()));
}

void Cgroups::add(uint64_t id, bool version1, std::string path) {
  auto& paths = paths_[version1 ? 1 : 0];
  if (paths.size() >= paths_max_) scan(CgroupMounts(mounts_));
  paths.insert_or_assign(id, std::move(path));
  std::erase_if(places_, [&](const auto& entry) { return (version1 ? entry.first.version1 : entry.first.version2) == id; });
}

std::shared_ptr<const CgroupPlace> Cgroups::place(uint64_t version2, uint64_t version1) {
  const auto known = places_.find({version2, version1});
  if (known != places_.end()) return known->second;
  const auto path2 = paths_[0].find(version2);
  const auto path1 = paths_[1].find(version1);
  const std::string* two = path2 == paths_[0].end() ? nullptr : &path2->second;
  const std::string* one = path1 == paths_[1].end() ? nullptr : &path1->second;
  if (two == nullptr && one == nullptr) return nullptr;
  const bool one_is_better =
      one != nullptr && (two == nullptr || (container_of(*two).empty() && (!container_of(*one).empty() || *two == "/")));
  const std::string& path = one_is_better ? *one : *two;
  auto place = std::make_shared<const CgroupPlace>(CgroupPlace{path, std::string(container_of(path)), pod_of(path)});
  if (places_.size() >= kPathsMax) places_.clear();
  places_.emplace(Ids{version2, version1}, place);
  return place;
}

}  // namespace portbook
