// A netlink socket that is read in bulk, so that a busy host costs few system calls.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/file_descriptor.h"

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

// Owned by one thread; in the namespace in which it was opened.
class NetlinkSocket {
 public:
  // A socket of Operations::open_netlink().
  explicit NetlinkSocket(FileDescriptor fd) : fd_(std::move(fd)) {}

  [[nodiscard]] int fd() const { return fd_.get(); }

  enum class Received : uint8_t { kEmpty, kMore, kLost };
  // Hands over what waits, at most NetlinkBuffers::kMessages datagrams in one system call. kLost: the kernel dropped messages.
  Received receive(NetlinkBuffers& buffers, const std::function<void(const NetlinkMessage&)>& take);

 private:
  FileDescriptor fd_;
};

}  // namespace portbook
