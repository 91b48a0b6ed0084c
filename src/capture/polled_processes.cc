#include "capture/polled_processes.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>

#include "capture/redact.h"

namespace portbook {

namespace {

constexpr int kAncestorsMax = 64;
constexpr uint64_t kTickNs = 10'000'000;  // USER_HZ, 100 on every architecture that is built for

template <typename Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

template <typename T>
void take_number(std::string_view text, T& out) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return;
  T number{};
  if (std::from_chars(text.data() + begin, text.data() + text.size(), number).ec == std::errc{}) out = number;
}

// The name in parentheses, which may hold anything.
void take_comm(std::string_view stat, pb_owner& owner) {
  const size_t begin = stat.find('(');
  const size_t end = stat.rfind(')');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return;
  const std::string_view name = stat.substr(begin + 1, std::min<size_t>(end - begin - 1, sizeof owner.comm - 1));
  std::memcpy(owner.comm, name.data(), name.size());
}

}  // namespace

CgroupPaths cgroup_paths_of(std::string_view proc_cgroup, int version1_hierarchy) {
  CgroupPaths paths;
  for_each_line(proc_cgroup, [&](std::string_view line) {
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) return;
    int hierarchy = -1;
    take_number(line.substr(0, first), hierarchy);
    const std::string_view path = line.substr(second + 1);
    if (hierarchy == 0 && second == first + 1) paths.version2 = path;
    if (hierarchy == version1_hierarchy && hierarchy > 0) paths.version1 = path;
  });
  return paths;
}

void read_ids(const ProcessFiles& files, pb_owner& owner) {
  for_each_line(files.status, [&](std::string_view line) {
    if (line.starts_with("Uid:")) take_number(line.substr(4), owner.uid);
    if (line.starts_with("Gid:")) take_number(line.substr(4), owner.gid);
  });
  take_number(files.loginuid, owner.loginuid);
  take_number(files.sessionid, owner.session);
}

PolledProcesses::PolledProcesses(Operations& operations, const CgroupMounts& mounts, Cgroups& cgroups, Processes& processes,
                                 BootClock& clock, bool with_cmdline)
    : operations_(operations),
      mounts_(mounts),
      cgroups_(cgroups),
      processes_(processes),
      clock_(clock),
      with_cmdline_(with_cmdline),
      own_uid_(geteuid()) {}

std::unordered_map<uint32_t, uint32_t> PolledProcesses::find(std::span<const uint32_t> inodes) {
  std::unordered_map<uint32_t, uint32_t> found;
  while (!inodes.empty()) {
    const auto part = inodes.first(std::min(inodes.size(), Operations::kSocketsAskedMax));
    inodes = inodes.subspan(part.size());
    const auto holders = operations_.find_socket_holders(part);
    if (!holders.has_value()) {
      hidden_ = true;
      break;
    }
    hidden_ = hidden_ || holders->hidden;
    for (const SocketHolder& one : holders->found) found.emplace(one.inode, one.pid);
  }
  return found;
}

std::optional<PolledProcesses::Found> PolledProcesses::read(uint32_t tgid) {
  const auto files = operations_.read_process(tgid, with_cmdline_ ? kProcessFilesAll : kProcessFilesAll & ~kProcessCmdline);
  ProcReader::Found stat;
  if (!files.has_value() || !parse_process_stat(files->stat, stat)) return std::nullopt;
  Found found;
  found.owner.tgid = tgid;
  // In ticks: the process began at most 10 ms later.
  found.owner.start = stat.start_ticks * kTickNs;
  found.owner.loginuid = UINT32_MAX;
  found.owner.session = UINT32_MAX;
  take_comm(files->stat, found.owner);
  read_ids(*files, found.owner);
  const CgroupPaths paths = cgroup_paths_of(files->cgroup, mounts_.version1_hierarchy);
  found.owner.cgroup = cgroup_id(paths.version2, false);
  found.owner.cgroup1 = cgroup_id(paths.version1, true);
  found.ppid = stat.ppid;
  auto image = std::make_shared<Image>();
  image->exe = files->exe;
  image->cwd = files->cwd;
  Redacted redacted = redact_arguments(files->cmdline);
  image->cmdline = std::move(redacted.text);
  image->redacted = redacted.count;
  found.image = std::move(image);
  return found;
}

// Paths are what /proc gives; the number only names them in the table.
uint64_t PolledProcesses::cgroup_id(std::string_view path, bool version1) {
  if (path.empty()) return 0;
  const uint64_t id = std::hash<std::string_view>()(path) | 1;
  if (!cgroups_.knows(id, version1)) cgroups_.add(id, version1, std::string(path));
  return id;
}

std::optional<pb_owner> PolledProcesses::observe(uint32_t tgid) {
  const pb_owner* owner = observe_one(tgid, 0);
  return owner == nullptr ? std::nullopt : std::optional(*owner);
}

const pb_owner* PolledProcesses::observe_one(uint32_t tgid, int depth) {
  if (const auto known = observed_.find(tgid); known != observed_.end()) return &known->second;
  auto found = read(tgid);
  if (!found) return nullptr;
  ProcessKey parent;
  if (found->ppid != 0 && depth < kAncestorsMax) {
    if (const pb_owner* up = observe_one(found->ppid, depth + 1)) parent = {up->tgid, up->start};
  }
  processes_.observe(found->owner, parent, std::move(found->image), clock_.boot_now());
  living_.insert_or_assign(tgid, found->owner);
  return &observed_.insert_or_assign(tgid, found->owner).first->second;
}

void PolledProcesses::find_ended(uint64_t now_boot_ns) {
  std::erase_if(living_, [&](const auto& entry) {
    ProcReader::Found stat;
    const auto files = operations_.read_process(entry.first, kProcessStat);
    if (!files.has_value() && files.error().code != ErrorCode::kNotFound) return false;
    if (files.has_value() && parse_process_stat(files->stat, stat) && stat.start_ticks * kTickNs == entry.second.start)
      return false;
    ProcessEventData event{};
    event.head.type = PB_EXIT;
    event.head.time = now_boot_ns;
    event.head.owner = entry.second;
    processes_.apply(event);
    return true;
  });
}

}  // namespace portbook
