// As whom the parts of portbook run when root started them.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace portbook {

struct UserIdentity {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string name;  // "portbook-agent", or "uid 61183" of a number that no user has
};

// The user `name` of the system; where there is none, the `index`th number from 61183 downward that belongs to no user and no
// group. That range is left free by the distributions' and systemd's lists of user numbers. Errors: kUnavailable (none is free).
Result<UserIdentity> find_user(const std::string& name, uint32_t index);

// The agent has a user of its own, since it is the part that parses what others can shape, and the helper one that nobody else has,
// so that no other process may send it signals.
Result<UserIdentity> agent_user();
Result<UserIdentity> helper_user();

// The follower of logs has one of its own: it reads what others can shape, and files that nobody else here may read.
Result<UserIdentity> logs_user();

// Whom a book belongs to that would else be root's: nobody who owns anything beside it.
Result<UserIdentity> book_user();

}  // namespace portbook
