#include "capture/netlink_socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace portbook {

bool for_each_message(ByteView datagram, const std::function<void(const NetlinkMessage&)>& visit) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    nlmsghdr head;
    std::memcpy(&head, datagram.data(), sizeof head);
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > datagram.size()) return false;
    visit({head.nlmsg_type, head.nlmsg_flags, head.nlmsg_seq, datagram.subspan(sizeof head, head.nlmsg_len - sizeof head)});
    datagram = datagram.subspan(std::min<size_t>((head.nlmsg_len + 3u) & ~3u, datagram.size()));
  }
  return true;
}

Result<NetlinkSocket> NetlinkSocket::open(int family, uint32_t groups, int receive_bytes) {
  NetlinkSocket opened(mnl_socket_open2(family, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!opened.socket_) {
    const bool lacking = errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT;
    return fail(lacking ? ErrorCode::kUnavailable : ErrorCode::kIo, std::string("netlink socket: ") + std::strerror(errno));
  }
  if (setsockopt(opened.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof receive_bytes) != 0) {
    setsockopt(opened.fd(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  }
  if (mnl_socket_bind(opened.socket_.get(), groups, MNL_SOCKET_AUTOPID) != 0) {
    return fail(errno == EPERM ? ErrorCode::kDenied : ErrorCode::kIo, std::string("netlink groups: ") + std::strerror(errno));
  }
  return opened;
}

Status NetlinkSocket::request_dump(uint16_t type, ByteView head, uint32_t seq) {
  std::array<char, 256> buffer{};
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = type;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message->nlmsg_seq = seq;
  void* extra = mnl_nlmsg_put_extra_header(message, head.size());
  std::memcpy(extra, head.data(), head.size());
  if (mnl_socket_sendto(socket_.get(), message, message->nlmsg_len) < 0) {
    return fail(errno == EPERM ? ErrorCode::kDenied : ErrorCode::kIo, std::string("netlink dump: ") + std::strerror(errno));
  }
  return {};
}

NetlinkSocket::Received NetlinkSocket::receive(NetlinkBuffers& buffers, const std::function<void(const NetlinkMessage&)>& take) {
  std::array<iovec, NetlinkBuffers::kMessages> parts;
  std::array<mmsghdr, NetlinkBuffers::kMessages> heads{};
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i] = {buffers.at(i).data(), buffers.at(i).size()};
    heads[i].msg_hdr.msg_iov = &parts[i];
    heads[i].msg_hdr.msg_iovlen = 1;
  }
  const int got = recvmmsg(fd(), heads.data(), heads.size(), MSG_DONTWAIT, nullptr);
  if (got < 0) return errno == ENOBUFS ? Received::kLost : Received::kEmpty;
  for (int i = 0; i < got; ++i)
    for_each_message(buffers.at(static_cast<size_t>(i)).first(heads[static_cast<size_t>(i)].msg_len), take);
  return got == static_cast<int>(heads.size()) ? Received::kMore : Received::kEmpty;
}

}  // namespace portbook
