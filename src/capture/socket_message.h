// One message of the kernel's socket diagnostics (NETLINK_SOCK_DIAG; linux/inet_diag.h): a TCP or UDP socket that is there, or one
// that has just been destroyed.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "record/endpoint.h"
#include "record/fields.h"

namespace portbook {

// Totals of a TCP socket's life, as the kernel sends them when it destroys the socket (struct tcp_info).
struct SocketTotals {
  bool established = false;            // something was acknowledged or received: the handshake had been completed
  std::optional<uint64_t> bytes_sent;  // payload, once each; not before Linux 4.19
  uint32_t packets_out = 0;
  uint32_t packets_in = 0;
  uint32_t retransmits = 0;
  uint32_t rtt_us = 0;
};

struct SocketMessage {
  Proto proto = Proto::kTcp;
  uint8_t state = 0;    // TCP_ESTABLISHED … of netinet/tcp.h; a UDP socket is established (connected) or closed (bound only)
  bool mapped = false;  // an IPv6 socket that speaks IPv4
  Endpoint local;
  Endpoint remote;      // unspecified, port 0: none
  uint64_t cookie = 0;  // a TIME_WAIT entry has one of its own, not the connection's
  uint32_t uid = 0;     // the owner's; 0 also where no process holds the socket
  uint32_t inode = 0;   // 0: no process holds it (not accepted yet, or let go)
  std::optional<SocketTotals> totals;
};

enum class SocketDecoded : uint8_t {
  kSocket,
  kOther,  // well-formed, but of another family or protocol
  kMalformed,
};

// `payload`: what follows the netlink header of a message of type `type`. `asked`: the protocol that the dump was asked for; a
// message that names its own is believed. Fills `out` for kSocket. Allocates nothing.
SocketDecoded decode_socket(uint16_t type, ByteView payload, Proto asked, SocketMessage& out);

inline constexpr uint16_t kSocketRequest = 20;  // SOCK_DIAG_BY_FAMILY of linux/sock_diag.h
// What follows the netlink header of a request for all sockets of a protocol (TCP, UDP) and family (AF_INET, AF_INET6).
std::array<Byte, 56> socket_request(Proto proto, uint8_t family);

}  // namespace portbook
