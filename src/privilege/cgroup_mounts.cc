#include "privilege/cgroup_mounts.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>
#include <vector>

#include "base/file_descriptor.h"

namespace portbook {

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool lists(std::string_view commas, std::string_view word) {
  const auto words = split(commas, ',');
  return std::ranges::find(words, word) != words.end();
}

// mountinfo writes blanks, tabs, newlines and backslashes as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    if (text[i] == '\\' && i + 3 < text.size() && std::from_chars(&text[i + 1], &text[i + 1] + 3, code, 8).ec == std::errc{}) {
      out += static_cast<char>(code);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Of the hierarchies that a container runtime would use, in that order.
constexpr std::array<std::string_view, 5> kControllers = {"memory", "pids", "cpu", "devices", "cpuset"};

std::string read_text(const char* path) {
  std::string text;
  const FileDescriptor fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return text;
  std::array<char, 4096> part;
  for (ssize_t got = read(fd.get(), part.data(), part.size()); got > 0; got = read(fd.get(), part.data(), part.size())) {
    text.append(part.data(), static_cast<size_t>(got));
  }
  return text;
}

}  // namespace

CgroupMounts find_cgroup_mounts(std::string_view mountinfo, std::string_view proc_self_cgroup) {
  CgroupMounts mounts;
  size_t best = kControllers.size();
  for (std::string_view line : split(mountinfo, '\n')) {
    const auto fields = split(line, ' ');
    const auto dash = std::ranges::find(fields, "-");
    if (fields.size() < 10 || fields.end() - dash < 4) continue;
    const std::string_view type = dash[1];
    if (fields[3] != "/") continue;  // a part of the hierarchy, as a container sees it
    if (type == "cgroup2" && mounts.version2.empty()) mounts.version2 = unescape(fields[4]);
    if (type != "cgroup") continue;
    for (size_t i = 0; i < best; ++i) {
      if (!lists(dash[3], kControllers[i])) continue;
      best = i;
      mounts.version1 = unescape(fields[4]);
      mounts.version1_controller = kControllers[i];
    }
  }
  for (std::string_view line : split(proc_self_cgroup, '\n')) {
    const auto fields = split(line, ':');
    if (mounts.version1.empty() || fields.size() < 3 || !lists(fields[1], mounts.version1_controller)) continue;
    std::from_chars(fields[0].begin(), fields[0].end(), mounts.version1_hierarchy);
  }
  return mounts;
}

CgroupMounts read_cgroup_mounts() {
  return find_cgroup_mounts(read_text("/proc/self/mountinfo"), read_text("/proc/self/cgroup"));
}

}  // namespace portbook
