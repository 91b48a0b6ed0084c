// The files beside a log that it had been before: what rotation made of it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace portbook {

inline constexpr size_t kRotatedFilesMax = 1000;  // of one log; more are not looked at

// Whether rotation names files so: `haproxy.log.1`, `haproxy.log-20261123`, `haproxy-20261123.log` of `haproxy.log`; never a
// compressed one.
bool is_rotated_name(std::string_view log, std::string_view name);

struct RotatedFile {
  std::filesystem::path path;
  uint64_t inode = 0;
  std::string numbering;  // "1", "20261123": what its name has beside the log's
  bool operator==(const RotatedFile&) const = default;
};

// Those of the log at `path`, in its folder and in that of the file to which a link leads, sorted by path. What cannot be read is
// left out. Looks again while names change.
std::vector<RotatedFile> rotated_files(const std::filesystem::path& path);

// The inode of the file that became a rotated one right after the one with `inode`; 0: there is none, or that one has no name.
uint64_t rotated_after(const std::vector<RotatedFile>& files, uint64_t inode);

}  // namespace portbook
