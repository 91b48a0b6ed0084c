#include "capture/socket_message.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <fstream>
#include <iterator>
#include <vector>

#include "capture/netlink_socket.h"

namespace portbook {
namespace {

// Datagrams as Linux 6.18 sent them, of a namespace with these sockets: 127.0.0.1:45678 to the listener 127.0.0.1:8080,
// 127.0.0.1:45679 to the listener [::]:9090, UDP 127.0.0.1:5353 bound, UDP 127.0.0.1:45680 connected to it. "destroyed" and
// "timewait" are of the moment after 45678 closed first.
Bytes captured(const std::string& name) {
  std::ifstream file(PORTBOOK_SOURCE_DIR "/tests/data/sock_diag/" + name, std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

std::vector<SocketMessage> decode_all(ByteView datagram, Proto asked) {
  std::vector<SocketMessage> found;
  for_each_message(datagram, [&](const NetlinkMessage& one) {
    SocketMessage message;
    if (decode_socket(one.type, one.payload, asked, message) == SocketDecoded::kSocket) found.push_back(message);
  });
  return found;
}

const SocketMessage* with_ports(const std::vector<SocketMessage>& found, uint16_t local, uint16_t remote) {
  for (const SocketMessage& one : found) {
    if (one.local.port == local && one.remote.port == remote) return &one;
  }
  ADD_FAILURE() << "no socket with local port " << local << " and remote port " << remote;
  static const SocketMessage kNone;
  return &kNone;
}

TEST(SocketMessage, reads_both_ends_of_a_connection_and_its_listener) {
  const auto found = decode_all(captured("tcp4.bin"), Proto::kTcp);
  ASSERT_EQ(found.size(), 4u);
  const SocketMessage* client = with_ports(found, 45678, 8080);
  EXPECT_EQ(client->proto, Proto::kTcp);
  EXPECT_EQ(client->state, TCP_ESTABLISHED);
  EXPECT_EQ(to_text(client->local), "127.0.0.1:45678");
  EXPECT_EQ(to_text(client->remote), "127.0.0.1:8080");
  EXPECT_NE(client->cookie, 0u);
  EXPECT_NE(client->inode, 0u);
  EXPECT_EQ(client->uid, 0u);
  EXPECT_FALSE(client->mapped);
  EXPECT_FALSE(client->totals);
  const SocketMessage* server = with_ports(found, 8080, 45678);
  EXPECT_NE(server->cookie, client->cookie);
  EXPECT_EQ(with_ports(found, 8080, 0)->state, TCP_LISTEN);
}

TEST(SocketMessage, an_ipv6_socket_that_speaks_ipv4_has_ipv4_ends) {
  const auto found = decode_all(captured("tcp6.bin"), Proto::kTcp);
  ASSERT_EQ(found.size(), 2u);
  const SocketMessage* server = with_ports(found, 9090, 45679);
  EXPECT_TRUE(server->mapped);
  EXPECT_EQ(to_text(server->remote), "127.0.0.1:45679");
  const SocketMessage* listener = with_ports(found, 9090, 0);
  EXPECT_FALSE(listener->mapped);
  EXPECT_TRUE(listener->local.ip.is_unspecified());
}

TEST(SocketMessage, reads_bound_and_connected_udp) {
  const auto found = decode_all(captured("udp4.bin"), Proto::kUdp);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(with_ports(found, 5353, 0)->state, TCP_CLOSE);
  EXPECT_EQ(with_ports(found, 45680, 5353)->state, TCP_ESTABLISHED);
  EXPECT_EQ(found[0].proto, Proto::kUdp);
}

TEST(SocketMessage, reads_what_a_destroyed_socket_did) {
  const auto found = decode_all(captured("destroyed.bin"), Proto::kTcp);
  ASSERT_EQ(found.size(), 2u);
  const SocketMessage* client = with_ports(found, 45678, 8080);
  ASSERT_TRUE(client->totals);
  EXPECT_TRUE(client->totals->established);
  EXPECT_EQ(client->totals->bytes_sent, 5u);
  EXPECT_EQ(client->totals->retransmits, 0u);
  EXPECT_GE(client->totals->packets_out, 3u);
  const SocketMessage* udp = with_ports(found, 45680, 5353);
  EXPECT_EQ(udp->proto, Proto::kUdp);
  EXPECT_FALSE(udp->totals);
}

TEST(SocketMessage, a_closed_connection_stays_as_time_wait_without_owner) {
  const auto found = decode_all(captured("timewait.bin"), Proto::kTcp);
  const SocketMessage* waiting = with_ports(found, 45678, 8080);
  ASSERT_NE(waiting, nullptr);
  EXPECT_TRUE(waiting->state == TCP_TIME_WAIT || waiting->state == TCP_FIN_WAIT2) << int{waiting->state};
  EXPECT_EQ(waiting->inode, 0u);
}

TEST(SocketMessage, refuses_every_prefix_of_a_message) {
  const Bytes datagram = captured("destroyed.bin");
  for_each_message(datagram, [](const NetlinkMessage& one) {
    SocketMessage message;
    for (size_t length = 0; length < 72; ++length) {
      EXPECT_EQ(decode_socket(one.type, one.payload.first(length), Proto::kTcp, message), SocketDecoded::kMalformed) << length;
    }
    EXPECT_EQ(decode_socket(one.type + 1, one.payload, Proto::kTcp, message), SocketDecoded::kOther);
  });
}

TEST(SocketMessage, totals_are_of_tcp_only_whatever_comes_first) {
  Bytes payload(72);
  payload[0] = 2;                                         // AF_INET
  append(payload, std::array<Byte, 8>{8, 0, 2, 0});       // four bytes of tcp_info
  append(payload, std::array<Byte, 8>{5, 0, 10, 0, 17});  // the protocol is UDP
  SocketMessage message;
  EXPECT_EQ(decode_socket(kSocketRequest, payload, Proto::kTcp, message), SocketDecoded::kSocket);
  EXPECT_EQ(message.proto, Proto::kUdp);
  EXPECT_FALSE(message.totals);
}

TEST(SocketMessage, asks_for_every_state_of_one_protocol_and_family) {
  const auto request = socket_request(Proto::kUdp, 10);
  EXPECT_EQ(hex(request).substr(0, 16), "0a110000ffffffff");
  EXPECT_EQ(hex(request).find_first_not_of('0', 16), std::string::npos);
}

}  // namespace
}  // namespace portbook
