// The connector: a process of its own that connects to one place as one user, for a client that may do neither. It reads nothing
// from there.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "privilege/users.h"

namespace portbook {

// A unix stream socket, or a port of loopback.
struct ConnectorPlace {
  std::string path;     // empty: the port
  std::string address;  // "127.0.0.1", "::1"
  uint16_t port = 0;
};

// A new connection, close-on-exec and non-blocking, as whoever calls. Waits at most 5 s. Errors: kBadInput (no such address, or too
// long a path), kUnavailable (nobody listens there), kDenied, kIo.
Result<FileDescriptor> connect_to(const ConnectorPlace& place);

// One thread at a time.
class Connector {
 public:
  virtual ~Connector() = default;
  // As connect_to(), and kUnavailable once the process is gone.
  virtual Result<FileDescriptor> connect() = 0;
};

// Forks the process, which keeps no descriptor but its end of a socket and standard error, becomes `user`, gives up everything but
// connecting to `place`, and ends with its Connector. Before the calling process has threads, and before it gives up its own
// rights. Errors: kIo.
Result<std::unique_ptr<Connector>> start_connector(const ConnectorPlace& place, const std::optional<UserIdentity>& user);

}  // namespace portbook
