#include "privilege/socket_holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace portbook {

namespace {

constexpr size_t kRecentMax = 64;

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

uint32_t parse_number(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() ? number : 0;
}

// "socket:[12345]"; 0 for anything else.
uint32_t parse_socket_link(std::string_view target) {
  constexpr std::string_view kBegin = "socket:[";
  if (!target.starts_with(kBegin) || !target.ends_with(']')) return 0;
  target.remove_prefix(kBegin.size());
  target.remove_suffix(1);
  return parse_number(target);
}

class Search {
 public:
  Search(const std::string& proc, std::span<const uint32_t> inodes) : proc_(proc), wanted_(inodes.begin(), inodes.end()) {}

  [[nodiscard]] bool done() const { return wanted_.empty(); }

  void look_into(uint32_t pid) {
    const Folder folder(opendir(fmt::format("{}/{}/fd", proc_, pid).c_str()));
    if (!folder) {
      denied_ = denied_ || errno == EACCES || errno == EPERM;
      return;
    }
    std::array<char, 64> target;
    while (const dirent* entry = readdir(folder.get())) {
      if (entry->d_name[0] == '.') continue;
      const ssize_t length = readlinkat(dirfd(folder.get()), entry->d_name, target.data(), target.size());
      const uint32_t inode = length > 0 ? parse_socket_link({target.data(), static_cast<size_t>(length)}) : 0;
      if (inode == 0 || wanted_.erase(inode) == 0) continue;
      found_.push_back({inode, pid});
      if (wanted_.empty()) return;
    }
  }

  // Newest first: a process that has just begun is the likelier owner of a new socket.
  [[nodiscard]] std::vector<uint32_t> all_processes() const {
    std::vector<uint32_t> pids;
    const Folder folder(opendir(proc_.c_str()));
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
      if (const uint32_t pid = parse_number(entry->d_name); pid != 0) pids.push_back(pid);
    }
    std::ranges::sort(pids, std::greater<>());
    return pids;
  }

  SocketHolders take() { return {std::move(found_), denied_}; }

 private:
  const std::string& proc_;
  std::unordered_set<uint32_t> wanted_;
  std::vector<SocketHolder> found_;
  bool denied_ = false;
};

}  // namespace

SocketHolders SocketHolderSearch::find(std::span<const uint32_t> inodes) {
  Search search(proc_, inodes.first(std::min(inodes.size(), Operations::kSocketsAskedMax)));
  for (const uint32_t pid : recent_) {
    if (!search.done()) search.look_into(pid);
  }
  if (!search.done()) {
    for (const uint32_t pid : search.all_processes()) {
      if (search.done()) break;
      if (std::ranges::find(recent_, pid) == recent_.end()) search.look_into(pid);
    }
  }
  SocketHolders holders = search.take();
  for (const SocketHolder& one : holders.found) {
    if (!recent_.empty() && recent_.front() == one.pid) continue;
    std::erase(recent_, one.pid);
    recent_.push_front(one.pid);
  }
  recent_.resize(std::min(recent_.size(), kRecentMax));
  return holders;
}

}  // namespace portbook
