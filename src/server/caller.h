// Who is at the other end of a loopback connection: the uid that owns its socket, as the kernel's socket table says.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "record/endpoint.h"

namespace portbook {

// The uid that owns the established TCP socket whose local end is `client` and whose remote end is `server`, in this network
// namespace. Errors: kNotFound (no such socket), kIo. Source: linux/inet_diag.h, one exact SOCK_DIAG_BY_FAMILY request.
Result<uint32_t> socket_owner(const Endpoint& client, const Endpoint& server);

// True for root, for this process's own uid, and for members of the group `portbook`.
bool may_ask(uint32_t uid);

}  // namespace portbook
