// Processes as /proc shows them now, for sockets that polling found: who holds a socket, and what that process and its ancestors
// are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "capture/cgroups.h"
#include "capture/polled_sockets.h"
#include "capture/processes.h"
#include "privilege/operations.h"

namespace portbook {

// The lines of /proc/PID/cgroup that say a process's place: version 2's, and that of the version 1 hierarchy of this number (0:
// none).
struct CgroupPaths {
  std::string_view version2;  // empty: not there
  std::string_view version1;
};
CgroupPaths cgroup_paths_of(std::string_view proc_cgroup, int version1_hierarchy);

// Fills user, group, login and session from /proc/PID/status, loginuid and sessionid; what is not there stays as it is.
void read_ids(const ProcessFiles& files, pb_owner& owner);

// Owned by one thread; everything passed in outlives it.
class PolledProcesses final : public SocketOwners {
 public:
  PolledProcesses(Operations& operations, const CgroupMounts& mounts, Cgroups& cgroups, Processes& processes, BootClock& clock,
                  bool with_cmdline);

  std::unordered_map<uint32_t, uint32_t> find(std::span<const uint32_t> inodes) override;
  std::optional<pb_owner> observe(uint32_t tgid) override;
  // Assumed of every user until a search was refused.
  [[nodiscard]] bool sees(uint32_t uid) const override { return !hidden_ || uid == own_uid_; }

  // What was read is read again from here on.
  void begin_pass() { observed_.clear(); }
  // Tells the table of processes which have ended.
  void find_ended(uint64_t now_boot_ns);

 private:
  struct Found {
    pb_owner owner{};
    uint32_t ppid = 0;
    std::shared_ptr<const Image> image;
  };
  std::optional<Found> read(uint32_t tgid);
  const pb_owner* observe_one(uint32_t tgid, int depth);
  [[nodiscard]] uint64_t cgroup_id(std::string_view path, bool version1);

  Operations& operations_;
  const CgroupMounts mounts_;
  Cgroups& cgroups_;
  Processes& processes_;
  BootClock& clock_;
  const bool with_cmdline_;
  const uint32_t own_uid_;
  bool hidden_ = false;
  std::unordered_map<uint32_t, pb_owner> observed_;  // in this pass, by tgid
  std::unordered_map<uint32_t, pb_owner> living_;    // all that were told, by tgid
};

}  // namespace portbook
