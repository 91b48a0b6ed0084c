// What the programs of the randomised truth test write, and how they find it out; see script_peer.cc.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace peer {

inline std::string out_path;
inline int out = -1;

[[noreturn]] inline void die(const std::string& what) {
  std::perror(("script_peer: " + what).c_str());
  std::exit(1);
}

template <typename T = int>
T number(std::string_view text) {
  T value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc{}) die("number " + std::string(text));
  return value;
}

inline std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t at = std::min(text.find(by), text.size());
    parts.emplace_back(text.substr(0, at));
    text.remove_prefix(std::min(at + 1, text.size()));
  }
  return parts;
}

inline uint64_t now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// One write, so that lines of many processes never mix.
inline void say(const std::string& fields) {
  const std::string line = "{" + fields + "}\n";
  if (write(out, line.data(), line.size()) != static_cast<ssize_t>(line.size())) die("write");
}

inline std::string item(const char* name, uint64_t value) {
  return ",\"" + std::string(name) + "\":" + std::to_string(value);
}

// Field 22 of /proc/self/stat.
inline uint64_t start_ticks() {
  std::array<char, 4096> text{};
  const int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text.data(), text.size() - 1) <= 0) die("/proc/self/stat");
  close(fd);
  const char* at = std::strrchr(text.data(), ')') + 1;
  for (int field = 3; field < 22; ++field) at = std::strchr(at + 1, ' ');
  return number<uint64_t>(at + 1);
}

inline void say_who_i_am() {
  std::array<char, 4096> exe{};
  struct stat netns{};
  if (readlink("/proc/self/exe", exe.data(), exe.size() - 1) < 0 || stat("/proc/self/ns/net", &netns) != 0) die("/proc/self");
  say("\"op\":\"me\"" + item("pid", getpid()) + item("ppid", getppid()) + item("ticks", start_ticks()) + item("uid", getuid()) +
      item("netns", netns.st_ino) + item("after", now()) + ",\"exe\":\"" + exe.data() + "\"");
}

struct Address {
  sockaddr_storage raw{};
  socklen_t length = sizeof(sockaddr_storage);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&raw); }
};

inline Address make_address(const std::string& ip, int port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.raw);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.raw);
  if (inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    address.length = sizeof *v4;
  } else if (inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    address.length = sizeof *v6;
  } else {
    die("address " + ip);
  }
  return address;
}

inline std::string json_end(const char* name, int family, const void* ip, uint16_t port) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family, ip, text.data(), text.size());
  return ",\"" + std::string(name) + "\":[\"" + text.data() + "\"," + std::to_string(ntohs(port)) + "]";
}

inline std::string json_address(const char* name, const Address& address) {
  if (address.raw.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.raw);
    return json_end(name, AF_INET, &v4.sin_addr, v4.sin_port);
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.raw);
  return json_end(name, AF_INET6, &v6.sin6_addr, v6.sin6_port);
}

inline uint64_t cookie_of(int fd) {
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) != 0) die("SO_COOKIE");
  return cookie;
}

// Copies the address to `ip` and returns the port, both in network order.
inline uint16_t put_end(const Address& address, void* ip) {
  if (address.raw.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.raw);
    std::memcpy(ip, &v4.sin_addr, 4);
    return v4.sin_port;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.raw);
  std::memcpy(ip, &v6.sin6_addr, 16);
  return v6.sin6_port;
}

// What the kernel's sock_diag says of the socket with that cookie: ends, user, state.
inline std::string diagnose(int fd) {
  static const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  Address local;
  Address remote;
  if (getsockname(fd, local.get(), &local.length) != 0 || getpeername(fd, remote.get(), &remote.length) != 0) return "";
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } ask{};
  ask.header = {sizeof ask, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0};
  ask.request.sdiag_family = static_cast<uint8_t>(local.raw.ss_family);
  int protocol = 0;
  socklen_t size = sizeof protocol;
  getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
  ask.request.sdiag_protocol = static_cast<uint8_t>(protocol);
  ask.request.idiag_states = ~0U;
  inet_diag_sockid& id = ask.request.id;
  id.idiag_sport = put_end(local, id.idiag_src);
  id.idiag_dport = put_end(remote, id.idiag_dst);
  const uint64_t cookie = cookie_of(fd);
  id.idiag_cookie[0] = static_cast<uint32_t>(cookie);
  id.idiag_cookie[1] = static_cast<uint32_t>(cookie >> 32);
  alignas(8) std::array<char, 4096> answer{};
  if (send(netlink, &ask, sizeof ask, 0) < 0 || recv(netlink, answer.data(), answer.size(), 0) <= 0) die("sock_diag");
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) return "";  // gone in the meantime
  const auto* found = static_cast<const inet_diag_msg*>(NLMSG_DATA(header));
  return ",\"diag\":{\"uid\":" + std::to_string(found->idiag_uid) + item("state", found->idiag_state) +
         json_end("local", found->idiag_family, found->id.idiag_src, found->id.idiag_sport) +
         json_end("peer", found->idiag_family, found->id.idiag_dst, found->id.idiag_dport) + "}";
}

}  // namespace peer
