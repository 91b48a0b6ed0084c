#include "capture/socket_message.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "capture/netlink_attributes.h"

namespace portbook {

namespace {

static_assert(sizeof(inet_diag_req_v2) == 56 && kSocketRequest == SOCK_DIAG_BY_FAMILY);

SocketTotals totals_of(ByteView payload) {
  // An older kernel's is shorter: what it lacks is zero here, and must not be told as such.
  tcp_info info{};
  std::memcpy(&info, payload.data(), std::min(payload.size(), sizeof info));
  SocketTotals totals;
  totals.established = info.tcpi_bytes_acked > 0 || info.tcpi_bytes_received > 0 || info.tcpi_data_segs_in > 0;
  if (payload.size() >= offsetof(tcp_info, tcpi_bytes_retrans) + sizeof info.tcpi_bytes_retrans)
    totals.bytes_sent = info.tcpi_bytes_sent - std::min(info.tcpi_bytes_sent, info.tcpi_bytes_retrans);
  totals.packets_out = info.tcpi_segs_out;
  totals.packets_in = info.tcpi_segs_in;
  totals.retransmits = info.tcpi_total_retrans;
  totals.rtt_us = info.tcpi_rtt;
  return totals;
}

Ip ip_of(uint8_t family, const __be32* words) {
  const Byte* bytes = reinterpret_cast<const Byte*>(words);
  return family == AF_INET ? Ip::v4(bytes) : Ip::v6(bytes);
}

}  // namespace

SocketDecoded decode_socket(uint16_t type, ByteView payload, Proto asked, SocketMessage& out) {
  out = {};
  if (type != SOCK_DIAG_BY_FAMILY) return SocketDecoded::kOther;
  inet_diag_msg head;
  if (payload.size() < sizeof head) return SocketDecoded::kMalformed;
  std::memcpy(&head, payload.data(), sizeof head);
  if (head.idiag_family != AF_INET && head.idiag_family != AF_INET6) return SocketDecoded::kOther;
  out.proto = asked;
  out.state = head.idiag_state;
  out.local = {ip_of(head.idiag_family, head.id.idiag_src), ntohs(head.id.idiag_sport)};
  out.remote = {ip_of(head.idiag_family, head.id.idiag_dst), ntohs(head.id.idiag_dport)};
  out.mapped = head.idiag_family == AF_INET6 && out.remote.ip.is_v4();
  out.cookie = uint64_t{head.id.idiag_cookie[1]} << 32 | head.id.idiag_cookie[0];
  out.uid = head.idiag_uid;
  out.inode = head.idiag_inode;
  const bool fits = for_each_attribute(payload.subspan(sizeof head), [&](uint16_t attribute, ByteView value) {
    if (attribute == INET_DIAG_PROTOCOL && value.size() == 1) out.proto = static_cast<Proto>(value[0]);
    if (attribute == INET_DIAG_INFO) out.totals = totals_of(value);
  });
  if (!fits) return SocketDecoded::kMalformed;
  if (out.proto != Proto::kTcp) out.totals.reset();
  return out.proto == Proto::kTcp || out.proto == Proto::kUdp ? SocketDecoded::kSocket : SocketDecoded::kOther;
}

std::array<Byte, 56> socket_request(Proto proto, uint8_t family) {
  inet_diag_req_v2 request{};
  request.sdiag_family = family;
  request.sdiag_protocol = static_cast<uint8_t>(proto);
  request.idiag_states = UINT32_MAX;
  std::array<Byte, sizeof request> bytes;
  std::memcpy(bytes.data(), &request, sizeof request);
  return bytes;
}

}  // namespace portbook
