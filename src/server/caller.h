// Who is on the other end of a loopback connection: the uid that owns its port. Our own trade.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "record/endpoint.h"

namespace portbook {

struct Caller {
  uint32_t uid = 0;
  bool unix_socket = false;
};

// The uid that owns the TCP socket whose own end is `client` and whose other end is `server`, both in this network namespace.
// Asks the kernel (sock_diag, exact lookup). Errors: kNotFound (no such socket any more), kIo.
Result<uint32_t> owner_of_socket(const Endpoint& client, const Endpoint& server);

// root, the user that this process runs as, and members of the group `portbook`. Thread-safe.
bool may_ask(uint32_t uid);

// The login name of a uid; "uid 1234" when it has none. Thread-safe.
std::string user_name(uint32_t uid);

}  // namespace portbook
