// Netlink sockets as portbook watches them, and the few questions that it asks on them.
#pragma once

#include "base/file_descriptor.h"
#include "privilege/operations.h"

namespace portbook {

// In the calling thread's network namespace; Operations::open_netlink says the rest.
Result<FileDescriptor> open_netlink_socket(NetlinkKind kind, int receive_bytes);

// The socket kind that answers this dump.
NetlinkKind kind_of(DumpKind what);

// Sends the request; what it needs is held by the sender as well as by who opened the socket. Errors: kDenied, kIo.
Status send_dump_request(int fd, DumpKind what, uint32_t seq);

}  // namespace portbook
