// The UDP servers of the randomised truth test: each packet names its script and how many bytes it wants back.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/wait.h>

#include <cerrno>

#include "peer_notes.h"

namespace peer {

// Where a packet was sent to, as IP_PKTINFO or IPV6_PKTINFO says.
inline Address destination_of(msghdr& message, const Address& bound) {
  Address local = bound;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      reinterpret_cast<sockaddr_in&>(local.raw).sin_addr = info.ipi_addr;
    }
    if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      reinterpret_cast<sockaddr_in6&>(local.raw).sin6_addr = info.ipi6_addr;
    }
  }
  return local;
}

// Takes one packet, writes what is known of it, and answers from the address that it came to.
inline void serve_packet(int fd) {
  std::array<char, 65536> buffer{};
  alignas(cmsghdr) std::array<char, 256> control{};
  Address from;
  iovec data{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = from.get();
  message.msg_namelen = from.length;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  uint64_t before = now();
  const ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
  if (got < 0) return;  // another worker was faster
  Address bound;
  getsockname(fd, bound.get(), &bound.length);
  const std::string ends = json_address("local", destination_of(message, bound)) + json_address("peer", from);
  const std::vector<std::string> words = split({buffer.data(), static_cast<size_t>(got)}, ';');
  const std::string about = ",\"n\":" + words[0] + item("cookie", cookie_of(fd)) + item("pid", static_cast<uint64_t>(getpid()));
  say("\"op\":\"took\"" + about + item("before", before) + item("after", now()) + item("bytes", static_cast<uint64_t>(got)) + ends);
  const auto wanted = number<size_t>(words[1]);
  if (wanted == 0) return;
  data.iov_len = wanted;
  // The same control message makes the answer leave from that address.
  before = now();
  const ssize_t sent = sendmsg(fd, &message, 0);
  say("\"op\":\"gave\"" + about + item("before", before) + item("after", now()) +
      item("errno", sent < 0 ? static_cast<uint64_t>(errno) : 0) + item("bytes", wanted) + ends);
}

[[noreturn]] inline void serve_packets(const std::vector<int>& sockets) {
  std::vector<pollfd> waits;
  for (const int fd : sockets) waits.push_back({fd, POLLIN, 0});
  while (true) {
    if (poll(waits.data(), waits.size(), -1) <= 0) continue;
    for (const pollfd& wait : waits) {
      if (wait.revents != 0) serve_packet(wait.fd);
    }
  }
}

// WORKERS processes on sockets that this one binds; 0: this one answers itself.
inline int serve_datagrams(int workers, char** rest, int count) {
  say_who_i_am();
  std::vector<int> sockets;
  for (int i = 0; i + 1 < count; i += 2) {
    Address address = make_address(rest[i], number(rest[i + 1]));
    const int fd = socket(address.raw.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    const int only = std::strcmp(rest[i], "::") != 0 ? 1 : 0;
    const int room = 4 << 20;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    const uint64_t before = now();
    if (bind(fd, address.get(), address.length) != 0) die("bind");
    say("\"op\":\"bound\"" + item("cookie", cookie_of(fd)) + item("pid", static_cast<uint64_t>(getpid())) + item("before", before) +
        item("after", now()) + json_address("local", address));
    sockets.push_back(fd);
  }
  for (int i = 0; i < workers; ++i) {
    if (fork() != 0) continue;
    say_who_i_am();
    serve_packets(sockets);
  }
  if (workers == 0) serve_packets(sockets);
  while (wait(nullptr) > 0) {
  }
  return 0;
}

}  // namespace peer
