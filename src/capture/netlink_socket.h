// A netlink socket that is read in bulk, so that a busy host costs few system calls.
#pragma once

#include <libmnl/libmnl.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace portbook {

// Room for one bulk read; shared by all sockets of a thread.
class NetlinkBuffers {
 public:
  static constexpr size_t kMessages = 32;
  static constexpr size_t kBytes = 32 * 1024;  // the most that the kernel puts into one part of a dump
  NetlinkBuffers() : bytes_(kMessages * kBytes) {}
  std::span<Byte> at(size_t index) { return std::span(bytes_).subspan(index * kBytes, kBytes); }

 private:
  std::vector<Byte> bytes_;
};

struct NetlinkMessage {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t seq = 0;
  ByteView payload;  // behind the header; valid during the call
};

// Cuts a datagram into its messages. False when one does not fit; those before it were visited.
bool for_each_message(ByteView datagram, const std::function<void(const NetlinkMessage&)>& visit);

// Owned by one thread; stays in the namespace in which it was opened.
class NetlinkSocket {
 public:
  // In the calling thread's network namespace. `groups`: multicast groups 1 to 32 as a mask. `receive_bytes`: wanted, beyond the
  // system's limit where allowed. Errors: kDenied, kUnavailable (the kernel lacks this family), kIo.
  static Result<NetlinkSocket> open(int family, uint32_t groups, int receive_bytes);

  [[nodiscard]] int fd() const { return mnl_socket_get_fd(socket_.get()); }
  // Asks for a dump: `head` follows the netlink header. Its messages carry `seq`. Errors: kIo.
  Status request_dump(uint16_t type, ByteView head, uint32_t seq);

  enum class Received : uint8_t { kEmpty, kMore, kLost };
  // Hands over what waits, at most NetlinkBuffers::kMessages datagrams in one system call. kLost: the kernel dropped messages.
  Received receive(NetlinkBuffers& buffers, const std::function<void(const NetlinkMessage&)>& take);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  explicit NetlinkSocket(mnl_socket* socket) : socket_(socket) {}
  std::unique_ptr<mnl_socket, Close> socket_;
};

}  // namespace portbook
