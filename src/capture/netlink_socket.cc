#include "capture/netlink_socket.h"

#include <linux/netlink.h>
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
