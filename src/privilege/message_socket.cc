#include "privilege/message_socket.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.h"

namespace portbook {

namespace {

constexpr size_t kDescriptorsMax = 64;

std::unexpected<Error> failed(const char* what) {
  const bool gone = errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN;
  return fail(gone ? ErrorCode::kUnavailable : ErrorCode::kIo, std::string(what) + ": " + std::strerror(errno));
}

}  // namespace

Result<std::pair<FileDescriptor, FileDescriptor>> make_message_sockets() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return failed("socket pair");
  return std::pair(FileDescriptor(ends[0]), FileDescriptor(ends[1]));
}

Status send_message(int socket, ByteView bytes, const std::vector<FileDescriptor>& descriptors) {
  PB_CHECK(descriptors.size() <= kDescriptorsMax);
  iovec part{const_cast<Byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kDescriptorsMax)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    for (size_t i = 0; i < descriptors.size(); ++i) {
      const int fd = descriptors[i].get();
      std::memcpy(CMSG_DATA(head) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return failed("sending a message");
  }
  return {};
}

Status receive_message(int socket, size_t bytes_max, size_t descriptors_max, Bytes& bytes,
                       std::vector<FileDescriptor>& descriptors) {
  PB_CHECK(descriptors_max <= kDescriptorsMax);
  descriptors.clear();
  bytes.resize(bytes_max);
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kDescriptorsMax)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptors_max > 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  ssize_t got = 0;
  while ((got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno != EINTR) return failed("receiving a message");
  }
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (head->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
  if (got == 0) return fail(ErrorCode::kUnavailable, "the other end is closed");
  bytes.resize(static_cast<size_t>(got));
  // The kernel gives fewer where this process has no number free; the message itself is whole.
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == MSG_CTRUNC && descriptors.size() < descriptors_max) {
    descriptors.clear();
    return fail(ErrorCode::kLimit, "no descriptor is free for what was passed");
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || descriptors.size() > descriptors_max) {
    descriptors.clear();
    return fail(ErrorCode::kBadInput, "a message that is too long");
  }
  return {};
}

}  // namespace portbook
