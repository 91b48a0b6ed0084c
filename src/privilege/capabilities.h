// Becoming another user and keeping no more capabilities than named.
#pragma once

#include <linux/capability.h>

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "privilege/users.h"

namespace portbook {

// Of the whole process, before it has threads: becomes `user` (none: stays who it is) without supplementary groups, keeps only the
// capabilities `kept` (numbers of linux/capability.h), drops all others from every set for good, and can gain none back:
// no-new-privs, and root's number gives no rights any more. What a process that is not root cannot drop it does not have. Returns
// those of `kept` that it has: root of a container or a service may have been started without. Errors: kDenied, kIo.
Result<std::vector<int>> give_up_privileges(const std::optional<UserIdentity>& user, std::span<const int> kept);

}  // namespace portbook
