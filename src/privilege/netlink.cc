#include "privilege/netlink.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace portbook {

namespace {

constexpr uint16_t kConntrackGet = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;

uint32_t group(int number) {
  return 1u << (number - 1);
}

struct Family {
  int protocol;
  uint32_t groups;
};

Family family_of(NetlinkKind kind) {
  switch (kind) {
    case NetlinkKind::kConntrack: return {NETLINK_NETFILTER, group(NFNLGRP_CONNTRACK_NEW) | group(NFNLGRP_CONNTRACK_DESTROY)};
    case NetlinkKind::kRoute: return {NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    case NetlinkKind::kSocketDiagnostics: return {NETLINK_SOCK_DIAG, 0};
  }
  PB_CHECK(false);
}

template <typename Head>
Status send_request(int fd, uint16_t type, uint32_t seq, const Head& head) {
  struct {
    nlmsghdr header;
    Head head;
  } request{};
  static_assert(offsetof(decltype(request), head) == NLMSG_HDRLEN);
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof head);
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = seq;
  request.head = head;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd, &request, request.header.nlmsg_len, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0)
    return errno == EPERM ? fail(ErrorCode::kDenied, "the kernel lists this only to root or with the capability net_admin")
                          : fail(ErrorCode::kIo, std::string("netlink dump: ") + std::strerror(errno));
  return {};
}

}  // namespace

Result<FileDescriptor> open_netlink_socket(NetlinkKind kind, int receive_bytes) {
  const Family family = family_of(kind);
  FileDescriptor fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family.protocol));
  if (!fd.valid()) {
    const bool lacking = errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT;
    return fail(lacking ? ErrorCode::kUnavailable : ErrorCode::kIo, std::string("netlink socket: ") + std::strerror(errno));
  }
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof receive_bytes) != 0)
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = family.groups;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  if (errno != EPERM && errno != EACCES) return fail(ErrorCode::kIo, std::string("netlink groups: ") + std::strerror(errno));
  return fail(
      ErrorCode::kDenied,
      kind == NetlinkKind::kConntrack
          ? "the kernel tells of translations (conntrack) only to root or with the capability net_admin; run portbook as root"
          : "the kernel tells of addresses only to root or with the capability net_admin; run portbook as root");
}

NetlinkKind kind_of(DumpKind what) {
  return what == DumpKind::kConntrack ? NetlinkKind::kConntrack : NetlinkKind::kRoute;
}

Status send_dump_request(int fd, DumpKind what, uint32_t seq) {
  switch (what) {
    case DumpKind::kConntrack: {
      nfgenmsg head{};
      head.nfgen_family = AF_UNSPEC;
      head.version = NFNETLINK_V0;
      return send_request(fd, kConntrackGet, seq, head);
    }
    case DumpKind::kLinks: return send_request(fd, RTM_GETLINK, seq, ifinfomsg{});
    case DumpKind::kAddresses: return send_request(fd, RTM_GETADDR, seq, ifaddrmsg{});
  }
  PB_CHECK(false);
}

}  // namespace portbook
