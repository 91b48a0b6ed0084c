// Where the control group hierarchies are mounted.
#pragma once

#include <string>
#include <string_view>

namespace portbook {

// From /proc/self/mountinfo and /proc/self/cgroup.
struct CgroupMounts {
  std::string version2;             // empty: cgroup2 is not mounted
  std::string version1;             // mount point of the version 1 hierarchy whose ids tell containers; empty: none
  std::string version1_controller;  // "memory", "pids" …
  int version1_hierarchy = 0;       // the kernel's number of it
};
CgroupMounts find_cgroup_mounts(std::string_view mountinfo, std::string_view proc_self_cgroup);
// Of the calling process. All empty where /proc does not say.
CgroupMounts read_cgroup_mounts();

}  // namespace portbook
