#include "capture/user_names.h"

#include <pwd.h>

#include <vector>

#include "base/clock.h"

namespace portbook {

namespace {
constexpr uint64_t kKeepNs = 60 * kNsPerSecond;
constexpr size_t kEntryBytesMax = 16 * 1024;
}  // namespace

const std::string& UserNames::name(uint32_t uid, uint64_t now_boot_ns) {
  if (now_boot_ns - read_at_boot_ns_ > kKeepNs) {
    names_.clear();
    read_at_boot_ns_ = now_boot_ns;
  }
  const auto [at, is_new] = names_.try_emplace(uid);
  if (is_new) {
    std::vector<char> buffer(kEntryBytesMax);
    passwd entry{};
    passwd* found = nullptr;
    if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) at->second = found->pw_name;
  }
  return at->second;
}

}  // namespace portbook
