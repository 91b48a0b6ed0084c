// Asks one network namespace for its sockets, and listens to what the kernel says of those that it destroys.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "capture/netlink_socket.h"
#include "capture/socket_message.h"
#include "privilege/operations.h"

namespace portbook {

// Owned by one thread.
class SocketLister {
 public:
  // Errors: as Operations::open_netlink().
  static Result<SocketLister> open(Operations& operations, uint32_t netns);

  // All TCP and UDP sockets, into `found`, whose storage is used again. What this kernel does not list is said by missing().
  // Errors: kIo (refused, or no answer within two seconds); `found` is then not whole.
  Status list(NetlinkBuffers& buffers, std::vector<SocketMessage>& found);

  // Hands over the notices that wait. True when the kernel had to drop some.
  bool read_notices(NetlinkBuffers& buffers, const std::function<void(const SocketMessage&)>& take);
  // To wait for notices; negative where the kernel gives none.
  [[nodiscard]] int notices_fd() const { return listening_ ? notices_.fd() : -1; }
  // Protocols that this kernel does not list, in words; empty: none.
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  SocketLister(NetlinkSocket lists, NetlinkSocket notices) : lists_(std::move(lists)), notices_(std::move(notices)) {}
  Status list_one(Proto proto, uint8_t family, NetlinkBuffers& buffers, std::vector<SocketMessage>& found);

  NetlinkSocket lists_;
  NetlinkSocket notices_;
  bool listening_ = false;
  std::string missing_;
  uint32_t seq_ = 0;
};

}  // namespace portbook
