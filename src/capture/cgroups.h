// Control groups: the path behind an id, and the container and pod behind a path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "privilege/cgroup_mounts.h"

namespace portbook {

// The container id in a control group's path: the last run of exactly 64 hexadecimal digits, as docker, cri-containerd, CRI-O and
// libpod write it, in version 1 and 2 paths. Empty when there is none. Valid as long as `path`.
std::string_view container_of(std::string_view path);
// The Kubernetes pod's uid in canonical form ("pod<uid>" or "-pod<uid_with_underscores>.slice"); empty when there is none.
std::string pod_of(std::string_view path);

// What a process's control groups say about it; shared by all processes of the group.
struct CgroupPlace {
  std::string path;
  std::string container;
  std::string pod;
};

// Owned by one thread.
class Cgroups {
 public:
  // Reads the ids of all groups that there are. Groups made later come through add(), which asks the file system again, and so
  // forgets those that are gone, after 200,000 or twice as many as there were.
  void scan(const CgroupMounts& mounts);
  void add(uint64_t id, bool version1, std::string path);
  [[nodiscard]] bool knows(uint64_t id, bool version1) const { return paths_[version1 ? 1 : 0].contains(id); }
  // The place of a process with these ids (0: not known): the group that names a container, else the version 2 path unless that is
  // the root, else the version 1 path. Shared because connections outlive both process and group. Null when neither id is known.
  std::shared_ptr<const CgroupPlace> place(uint64_t version2, uint64_t version1);

 private:
  CgroupMounts mounts_;
  size_t paths_max_ = SIZE_MAX;                         // until the first scan()
  std::unordered_map<uint64_t, std::string> paths_[2];  // by id, per version
  struct Ids {
    uint64_t version2;
    uint64_t version1;
    bool operator==(const Ids&) const = default;
  };
  struct HashIds {
    size_t operator()(const Ids& ids) const { return ids.version2 * 0x9e3779b97f4a7c15 ^ ids.version1; }
  };
  std::unordered_map<Ids, std::shared_ptr<const CgroupPlace>, HashIds> places_;
};

}  // namespace portbook
