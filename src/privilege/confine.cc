#include "privilege/confine.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <iterator>
#include <span>

#include "base/hash.h"
#include "privilege/capabilities.h"
#include "privilege/cgroup_mounts.h"
#include "privilege/landlock.h"

namespace portbook {

namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PORTBOOK_HAS_ADDRESS_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(PORTBOOK_HAS_ADDRESS_SANITIZER)
constexpr bool kIsSanitized = true;  // its runtime looks at itself by means that no part of portbook needs
#else
constexpr bool kIsSanitized = false;
#endif

constexpr uint32_t kUserThatNobodyIs = 4294967294;

struct NamedCapability {
  int number;
  const char* name;
};

// What each is for; tests/e2e/capture_cases.py and truth.py run with these and no others.
constexpr std::array kHelperCapabilities = {
    NamedCapability{CAP_BPF, "bpf"},                          // load programs
    NamedCapability{CAP_PERFMON, "perfmon"},                  // that read the kernel's memory
    NamedCapability{CAP_NET_ADMIN, "net_admin"},              // attach to cgroups; conntrack, its settings, receive buffers
    NamedCapability{CAP_SYS_ADMIN, "sys_admin"},              // setns()
    NamedCapability{CAP_SYS_PTRACE, "sys_ptrace"},            // /proc/PID/exe, cwd, ns of others
    NamedCapability{CAP_DAC_READ_SEARCH, "dac_read_search"},  // container runtimes' folders
};

// Logs belong to their programs, and rotation makes new ones; which folders may be read at all is Landlock's.
constexpr std::array kLogsCapabilities = {NamedCapability{CAP_DAC_READ_SEARCH, "dac_read_search"}};

std::span<const NamedCapability> capabilities_of(Part part) {
  if (part == Part::kHelper) return kHelperCapabilities;
  if (part == Part::kLogs) return kLogsCapabilities;
  return {};
}

// What libraries read at any time: names of users and groups, the number of CPUs.
std::vector<std::string> system_files(Part part) {
  std::vector<std::string> paths = {
      "/sys/devices/system/cpu", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom", "/var/lib/sss", "/run/nscd",
      "/run/systemd/userdb"};
  if (geteuid() == 0) {
    // Root's number may read all of /etc. A file that is replaced is out of reach until the next start: names become numbers.
    for (const char* file : {"/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime"}) paths.emplace_back(file);
  } else {
    paths.emplace_back("/etc");
  }
  if (part != Part::kAgent) return paths;
  paths.emplace_back("/proc");
  const CgroupMounts mounts = read_cgroup_mounts();
  for (const std::string& mount : {mounts.version2, mounts.version1}) {
    if (!mount.empty()) paths.push_back(mount);
  }
  return paths;
}

// Libraries that load code when they are first used do so now.
void warm_up() {
  std::array<char, 16 * 1024> buffer;
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(kUserThatNobodyIs, &entry, buffer.data(), buffer.size(), &found);
  sha256({});
}

std::string name_of_user(const ConfineOptions& options) {
  if (options.user && geteuid() == options.user->uid) return options.user->name;
  return geteuid() == 0 ? "root's number" : fmt::format("uid {}", geteuid());
}

}  // namespace

std::string Confinement::to_text() const {
  return fmt::format("{}, {} capabilities{}, no new privileges, {}, {}", user, capabilities.empty() ? "no" : capabilities,
                     withheld.empty() ? "" : fmt::format(" (it was started without {})", withheld),
                     landlock == 0 ? "no landlock" : fmt::format("landlock {}", landlock),
                     filter ? "filtered system calls" : "no filter of system calls");
}

Result<Confinement> confine(const ConfineOptions& options) {
  warm_up();
  Confinement result;
  std::vector<int> wanted;
  if (geteuid() == 0) std::ranges::transform(capabilities_of(options.part), std::back_inserter(wanted), &NamedCapability::number);
  const auto kept = give_up_privileges(options.user, wanted);
  if (!kept) return std::unexpected(kept.error());
  result.user = name_of_user(options);
  for (const NamedCapability& one : capabilities_of(options.part)) {
    if (wanted.empty()) break;
    std::string& names = std::ranges::find(*kept, one.number) != kept->end() ? result.capabilities : result.withheld;
    names += (names.empty() ? "" : " ") + std::string(one.name);
  }
  // A process under Landlock may not look at processes outside, which is the helper's work.
  if (options.part != Part::kHelper) {
    LandlockRules rules;
    rules.readable = system_files(options.part);
    for (const auto& path : options.readable) rules.readable.push_back(path.string());
    for (const auto& path : options.writable) rules.writable.push_back(path.string());
    rules.tcp_port = options.tcp_port;
    rules.tcp_peer_port = options.tcp_peer_port;
    const auto version = restrict_files(rules);
    if (!version) return std::unexpected(version.error());
    result.landlock = *version;
    if (*version == 0) result.lacking.emplace_back("this kernel has no landlock: only permissions keep it from others' files");
  }
  if (options.filter_later) return result;
  if (auto status = filter_system_calls(options.part, result); !status) return std::unexpected(status.error());
  return result;
}

Status filter_system_calls(Part part, Confinement& result) {
  if (kIsSanitized) {
    result.lacking.emplace_back("this build has sanitizers: its system calls are not filtered");
    return {};
  }
  const Status filtered = restrict_system_calls(part);
  if (!filtered.has_value() && filtered.error().code != ErrorCode::kUnavailable) return filtered;
  result.filter = filtered.has_value();
  if (!result.filter) result.lacking.push_back(filtered.error().message);
  return {};
}

std::string describe_end(std::string_view name, int wait_status) {
  if (WIFEXITED(wait_status)) return fmt::format("{} ended with exit code {}", name, WEXITSTATUS(wait_status));
  if (!WIFSIGNALED(wait_status)) return {};
  if (WTERMSIG(wait_status) == SIGSYS) {
    return fmt::format(
        "{} was ended by the kernel: it made a system call that this part of portbook never makes (SIGSYS). The kernel's log has "
        "its number: journalctl -k --grep type=1326",
        name);
  }
  return fmt::format("{} was ended by signal {} ({})", name, WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
}

}  // namespace portbook
