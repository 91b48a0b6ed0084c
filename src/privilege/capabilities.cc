#include "privilege/capabilities.h"

#include <grp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace portbook {

namespace {

constexpr int kCapabilitiesMax = 64;
// Neither does root's number give capabilities, nor does a change of user take or give any.
constexpr unsigned long kUsersAreOnlyNumbers = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                               SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

std::unexpected<Error> failed(const char* what) {
  return fail(errno == EPERM ? ErrorCode::kDenied : ErrorCode::kIo, std::string(what) + ": " + std::strerror(errno));
}

Status become(const UserIdentity& user) {
  if (setgroups(0, nullptr) != 0) return failed("groups cannot be given up");
  if (setresgid(user.gid, user.gid, user.gid) != 0) return failed("the group cannot be changed");
  if (setresuid(user.uid, user.uid, user.uid) != 0) return failed("the user cannot be changed");
  return {};
}

// Of `wanted`, what the process has.
Result<std::vector<int>> keep_only(std::span<const int> wanted) {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (syscall(SYS_capget, &head, sets.data()) != 0) return failed("capabilities cannot be read");
  const auto had = std::exchange(sets, {});
  std::vector<int> kept;
  for (const int capability : wanted) {
    if ((had[CAP_TO_INDEX(capability)].permitted & CAP_TO_MASK(capability)) == 0) continue;
    sets[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
    sets[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);
    kept.push_back(capability);
  }
  if (syscall(SYS_capset, &head, sets.data()) != 0) return failed("capabilities cannot be dropped");
  return kept;
}

}  // namespace

Result<std::vector<int>> give_up_privileges(const std::optional<UserIdentity>& user, std::span<const int> kept) {
  // A change of user forgets which signal the parent's death shall bring.
  int death_signal = 0;
  prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return failed("ambient capabilities cannot be dropped");
  if (geteuid() == 0) {
    for (int capability = 0; capability < kCapabilitiesMax; ++capability) {
      // EINVAL: this kernel has no such capability.
      if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) return failed("the bounding set cannot be emptied");
    }
    if (prctl(PR_SET_SECUREBITS, kUsersAreOnlyNumbers, 0, 0, 0) != 0) return failed("root's number cannot be made a mere number");
    if (user) {
      if (auto status = become(*user); !status) return std::unexpected(status.error());
    }
  }
  auto had = keep_only(kept);
  if (!had) return had;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("no-new-privs cannot be set");
  if (prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0) return failed("the parent's death cannot be waited for");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("the process cannot be hidden from others of its user");
  return had;
}

}  // namespace portbook
