#include "privilege/users.h"

#include <grp.h>
#include <pwd.h>

#include <vector>

namespace portbook {

namespace {

// https://systemd.io/UIDS-GIDS/ lists 60706 to 61183 as unused.
constexpr uint32_t kFreeFirst = 60706;
constexpr uint32_t kFreeLast = 61183;
constexpr size_t kEntryBytes = 64 * 1024;

bool is_free(uint32_t number, std::vector<char>& buffer) {
  passwd user{};
  passwd* found_user = nullptr;
  group owners{};
  group* found_group = nullptr;
  // A name service that fails does not say that nobody has the number.
  if (getpwuid_r(number, &user, buffer.data(), buffer.size(), &found_user) != 0) return false;
  if (getgrgid_r(number, &owners, buffer.data(), buffer.size(), &found_group) != 0) return false;
  return found_user == nullptr && found_group == nullptr;
}

}  // namespace

Result<UserIdentity> find_user(const std::string& name, uint32_t index) {
  std::vector<char> buffer(kEntryBytes);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr && found->pw_uid != 0)
    return UserIdentity{found->pw_uid, found->pw_gid, name};
  for (uint32_t number = kFreeLast; number >= kFreeFirst; --number) {
    if (!is_free(number, buffer)) continue;
    if (index-- == 0) return UserIdentity{number, number, "uid " + std::to_string(number)};
  }
  return fail(ErrorCode::kUnavailable, "there is no user " + name + " and no free user number");
}

Result<UserIdentity> agent_user() {
  return find_user("portbook-agent", 0);
}

Result<UserIdentity> helper_user() {
  return find_user("portbook-helper", 1);
}

Result<UserIdentity> book_user() {
  return find_user("portbook", 2);
}

Result<UserIdentity> logs_user() {
  return find_user("portbook-logs", 3);
}

}  // namespace portbook
