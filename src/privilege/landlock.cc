// Written against the kernel's documentation of the interface (userspace-api/landlock), versions 1 to 7; Debian 12 has headers of
// version 2 and no library for it.
#include "privilege/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/file_descriptor.h"

namespace portbook {

namespace {

enum FileRight : uint64_t {
  kExecute = 1u << 0,
  kWriteFile = 1u << 1,
  kReadFile = 1u << 2,
  kReadFolder = 1u << 3,
  kRemoveFolder = 1u << 4,
  kRemoveFile = 1u << 5,
  kMakeCharacterDevice = 1u << 6,
  kMakeFolder = 1u << 7,
  kMakeFile = 1u << 8,
  kMakeSocket = 1u << 9,
  kMakePipe = 1u << 10,
  kMakeBlockDevice = 1u << 11,
  kMakeLink = 1u << 12,
  kRefer = 1u << 13,       // version 2
  kTruncate = 1u << 14,    // version 3
  kDeviceIoctl = 1u << 15  // version 5
};
constexpr uint64_t kNetworkBindAndConnectTcp = 3;        // version 4
constexpr uint64_t kScopeAbstractSocketsAndSignals = 3;  // version 6
constexpr uint64_t kFileRightsOfVersion1 = (1u << 13) - 1;
// What also a rule on a file, not a folder, may grant.
constexpr uint64_t kRightsOnFiles = kExecute | kWriteFile | kReadFile | kTruncate | kDeviceIoctl;

constexpr uint64_t kRead = kReadFile | kReadFolder;
constexpr uint64_t kWrite =
    kRead | kWriteFile | kRemoveFolder | kRemoveFile | kMakeFolder | kMakeFile | kMakeSocket | kRefer | kTruncate;

struct Ruleset {
  uint64_t files;
  uint64_t network;
  uint64_t scoped;
};
struct [[gnu::packed]] PathRule {
  uint64_t allowed;
  int32_t fd;
};
struct PortRule {
  uint64_t allowed;
  uint64_t port;
};
constexpr int kRuleOfPath = 1;
constexpr int kRuleOfPort = 2;
constexpr uint64_t kBindTcp = 1;
constexpr uint64_t kConnectTcp = 2;
constexpr uint32_t kAskForVersion = 1;

std::unexpected<Error> failed(const std::string& what) {
  return fail(errno == EPERM ? ErrorCode::kDenied : ErrorCode::kIo, "landlock: " + what + ": " + std::strerror(errno));
}

Status allow(int ruleset, const std::vector<std::string>& paths, uint64_t rights) {
  for (const std::string& path : paths) {
    const FileDescriptor fd(open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat about{};
    if (!fd.valid() || fstat(fd.get(), &about) != 0) continue;
    const PathRule rule{S_ISDIR(about.st_mode) ? rights : rights & kRightsOnFiles, fd.get()};
    if (syscall(SYS_landlock_add_rule, ruleset, kRuleOfPath, &rule, 0) != 0) return failed(path);
  }
  return {};
}

}  // namespace

int landlock_version() {
  const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, kAskForVersion);
  return version < 0 ? 0 : static_cast<int>(version);
}

Result<int> restrict_files(const LandlockRules& rules) {
  const int version = landlock_version();
  if (version == 0) return 0;
  Ruleset wanted{};
  wanted.files = kFileRightsOfVersion1;
  if (version >= 2) wanted.files |= kRefer;
  if (version >= 3) wanted.files |= kTruncate;
  if (version >= 5) wanted.files |= kDeviceIoctl;
  if (version >= 4) wanted.network = kNetworkBindAndConnectTcp;
  if (version >= 6) wanted.scoped = kScopeAbstractSocketsAndSignals;
  const size_t size = version >= 6   ? sizeof wanted
                      : version >= 4 ? offsetof(struct Ruleset, scoped)
                                     : offsetof(struct Ruleset, network);
  const FileDescriptor ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &wanted, size, 0)));
  if (!ruleset.valid()) return failed("no rules can be made");
  if (auto status = allow(ruleset.get(), rules.readable, kRead & wanted.files); !status) return std::unexpected(status.error());
  if (auto status = allow(ruleset.get(), rules.writable, kWrite & wanted.files); !status) return std::unexpected(status.error());
  const PortRule port{kBindTcp, rules.tcp_port.value_or(0)};
  if (rules.tcp_port && version >= 4 && syscall(SYS_landlock_add_rule, ruleset.get(), kRuleOfPort, &port, 0) != 0)
    return failed("the port to listen on");
  const PortRule peer{kConnectTcp, rules.tcp_peer_port.value_or(0)};
  if (rules.tcp_peer_port && version >= 4 && syscall(SYS_landlock_add_rule, ruleset.get(), kRuleOfPort, &peer, 0) != 0)
    return failed("the port to connect to");
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return failed("the rules cannot be put into force");
  return version;
}

}  // namespace portbook
