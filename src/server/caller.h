// Who is on the other end of a connection: over loopback the uid that owns its port, our own trade; from elsewhere a token's name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "record/endpoint.h"

namespace portbook {

struct Caller {
  uint32_t uid = 0;  // of a caller on this machine
  bool unix_socket = false;
  bool remote = false;  // over TLS: a token says who, and uid says nothing
  std::string token;    // its name; empty: not known yet
};

// The uid that owns the TCP socket whose own end is `client` and whose other end is `server`, both in this network namespace.
// Asks the kernel (sock_diag, exact lookup). Errors: kNotFound (no such socket any more), kIo.
Result<uint32_t> owner_of_socket(const Endpoint& client, const Endpoint& server);

// root, the user that this process runs as, and members of the group `portbook`. Thread-safe.
bool may_ask(uint32_t uid);

// Of these, who may also decide who else reads: root, and the user that this process runs as.
bool owns_book(uint32_t uid);

// The login name of a uid; "uid 1234" when it has none. Thread-safe.
std::string user_name(uint32_t uid);
// "alice", or "token audit" from elsewhere. Thread-safe.
std::string caller_name(const Caller& caller);

}  // namespace portbook
