#include "capture/socket_lister.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace portbook {

namespace {

constexpr int kListReceiveBytes = 1 << 20;
constexpr int kNoticesReceiveBytes = 8 << 20;
constexpr int kAnswerTimeoutMs = 2000;

struct Request {
  nlmsghdr header{};
  std::array<Byte, 56> body{};
};
static_assert(sizeof(Request) == NLMSG_HDRLEN + 56);

}  // namespace

Result<SocketLister> SocketLister::open(Operations& operations, uint32_t netns) {
  auto lists = operations.open_netlink(netns, NetlinkKind::kSocketDiagnostics, kListReceiveBytes);
  if (!lists.has_value()) return std::unexpected(lists.error());
  auto notices = operations.open_netlink(netns, NetlinkKind::kSocketDiagnostics, kNoticesReceiveBytes);
  if (!notices.has_value()) return std::unexpected(notices.error());
  SocketLister lister(NetlinkSocket(std::move(*lists)), NetlinkSocket(std::move(*notices)));
  lister.listening_ = true;
  for (const int group :
       {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET_UDP_DESTROY, SKNLGRP_INET6_TCP_DESTROY, SKNLGRP_INET6_UDP_DESTROY}) {
    if (setsockopt(lister.notices_.fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) lister.listening_ = false;
  }
  return lister;
}

Status SocketLister::list(NetlinkBuffers& buffers, std::vector<SocketMessage>& found) {
  found.clear();
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    for (const uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}}) {
      const Status listed = list_one(proto, family, buffers, found);
      if (listed.has_value()) continue;
      if (listed.error().code != ErrorCode::kUnavailable) return listed;
      const char* name = proto == Proto::kTcp ? "TCP" : "UDP";
      if (missing_.find(name) == std::string::npos) missing_ += (missing_.empty() ? "" : " and ") + std::string(name);
    }
  }
  return {};
}

Status SocketLister::list_one(Proto proto, uint8_t family, NetlinkBuffers& buffers, std::vector<SocketMessage>& found) {
  Request request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = kSocketRequest;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = ++seq_;
  request.body = socket_request(proto, family);
  if (send(lists_.fd(), &request, sizeof request, MSG_DONTWAIT) < 0)
    return fail(ErrorCode::kIo, std::string("socket diagnostics: ") + std::strerror(errno));
  bool done = false;
  int refused = 0;
  while (!done) {
    pollfd wait{lists_.fd(), POLLIN, 0};
    if (poll(&wait, 1, kAnswerTimeoutMs) <= 0) return fail(ErrorCode::kIo, "socket diagnostics: the kernel does not answer");
    const auto received = lists_.receive(buffers, [&](const NetlinkMessage& one) {
      if (one.seq != seq_) return;  // of a list that was given up
      if (one.type == NLMSG_DONE || one.type == NLMSG_ERROR) {
        done = true;
        int code = 0;
        if (one.payload.size() >= sizeof code) std::memcpy(&code, one.payload.data(), sizeof code);
        refused = -std::min(code, 0);
        return;
      }
      SocketMessage& socket = found.emplace_back();
      if (decode_socket(one.type, one.payload, proto, socket) != SocketDecoded::kSocket) found.pop_back();
    });
    if (received == NetlinkSocket::Received::kLost) return fail(ErrorCode::kIo, "socket diagnostics: the answer did not fit");
  }
  if (refused == ENOENT || refused == EOPNOTSUPP) return fail(ErrorCode::kUnavailable, "not listed by this kernel");
  if (refused != 0) return fail(ErrorCode::kIo, std::string("socket diagnostics: ") + std::strerror(refused));
  return {};
}

bool SocketLister::read_notices(NetlinkBuffers& buffers, const std::function<void(const SocketMessage&)>& take) {
  if (!listening_) return false;
  bool lost = false;
  SocketMessage socket;
  for (auto received = NetlinkSocket::Received::kMore; received != NetlinkSocket::Received::kEmpty;) {
    received = notices_.receive(buffers, [&](const NetlinkMessage& one) {
      if (decode_socket(one.type, one.payload, Proto::kTcp, socket) == SocketDecoded::kSocket) take(socket);
    });
    lost = lost || received == NetlinkSocket::Received::kLost;
  }
  return lost;
}

}  // namespace portbook
