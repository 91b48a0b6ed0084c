// The helper: a process of its own that carries out Operations for one client and does nothing else.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/file_descriptor.h"
#include "privilege/operations.h"

namespace portbook {

// Serves requests on `socket`, one end of make_message_sockets(), until the other end is closed. A request that cannot be read or
// that asks for something that is not on the list is answered with kBadInput.
// `description`: what carried_out_by() says there.
void serve_operations(int socket, Operations& operations, const std::string& description);

// The operations as carried out by whoever serves the other end of `socket`. Every call fails with kUnavailable once that one is
// gone or has not answered for two minutes.
std::unique_ptr<Operations> make_remote_operations(FileDescriptor socket);

struct HelperProcess {
  pid_t pid = 0;
  FileDescriptor socket;  // the client's end; the helper ends when its last copy is closed
};

// Forks the helper, which keeps no descriptor but its end of the socket and standard error, gives up what it does not need and
// serves until its client is gone. Before the calling process has threads. Errors: kIo.
Result<HelperProcess> start_helper();

}  // namespace portbook
