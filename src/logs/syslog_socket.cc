#include "logs/syslog_socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace portbook {

namespace {

constexpr int kReceiveBytes = 4 * 1024 * 1024;
constexpr int kWaiting = 128;  // connections that nobody has accepted yet
constexpr uint32_t kLoopbackNet = 127;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

std::unexpected<Error> failed(const std::string& what) {
  return fail(errno == EACCES || errno == EPERM ? ErrorCode::kDenied : ErrorCode::kIo,
              fmt::format("{}: {}", what, std::strerror(errno)));
}

Result<Address> parse_address(const std::string& text) {
  const size_t colon = text.rfind(':');
  uint16_t port = 0;
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const char* end = text.data() + text.size();
  const bool numbered = colon != std::string::npos && std::from_chars(text.data() + colon + 1, end, port).ptr == end;
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  bool loopback = false;
  if (numbered && inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    address.length = sizeof(*four);
    loopback = ntohl(four->sin_addr.s_addr) >> 24 == kLoopbackNet;
  } else if (numbered && inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    address.length = sizeof(*six);
    loopback = IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
  } else {
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is no address with a port, such as 127.0.0.1:5514", text));
  }
  if (loopback) return address;
  return fail(ErrorCode::kBadInput,
              fmt::format("{} is not loopback, where syslog would need TLS and a credential, which this portbook does not have: "
                          "receive on 127.0.0.1 or [::1], from a syslog daemon of this machine",
                          text));
}

Result<FileDescriptor> bound(const std::string& text, int type) {
  const auto address = parse_address(text);
  if (!address) return std::unexpected(address.error());
  FileDescriptor fd(socket(address->storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!fd.valid()) return failed(text);
  if (type == SOCK_STREAM) (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->length) != 0) return failed(text);
  return fd;
}

void widen(const FileDescriptor& fd) {
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof(kReceiveBytes)) != 0)
    (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof(kReceiveBytes));
}

std::string text_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &four.sin_addr, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), ntohs(four.sin_port));
  }
  if (address.ss_family != AF_INET6) return {};
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
  inet_ntop(AF_INET6, &six.sin6_addr, text.data(), text.size());
  return fmt::format("[{}]:{}", text.data(), ntohs(six.sin6_port));
}

void read_control(msghdr& message, SyslogDatagram& datagram) {
  for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
    if (one->cmsg_level != SOL_SOCKET) continue;
    if (one->cmsg_type == SO_RXQ_OVFL) std::memcpy(&datagram.overflows, CMSG_DATA(one), sizeof(datagram.overflows));
    if (one->cmsg_type != SCM_CREDENTIALS) continue;
    ucred sender{};
    std::memcpy(&sender, CMSG_DATA(one), sizeof(sender));
    if (sender.pid > 0) datagram.from = fmt::format("pid {}", sender.pid);
  }
}

}  // namespace

Result<FileDescriptor> listen_syslog_udp(const std::string& address) {
  auto fd = bound(address, SOCK_DGRAM);
  if (!fd) return fd;
  const int on = 1;
  (void)setsockopt(fd->get(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
  widen(*fd);
  return fd;
}

Result<FileDescriptor> listen_syslog_tcp(const std::string& address) {
  auto fd = bound(address, SOCK_STREAM);
  if (fd && listen(fd->get(), kWaiting) != 0) return failed(address);
  return fd;
}

Result<FileDescriptor> listen_syslog_unix(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.empty() || text.size() >= sizeof(address.sun_path))
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is no path that fits a unix socket", text));
  std::memcpy(address.sun_path, text.data(), text.size());
  FileDescriptor fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return failed(text);
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  if (connect(fd.get(), name, sizeof(address)) == 0)
    return fail(ErrorCode::kUnavailable, fmt::format("another process receives at {}", text));
  struct stat about{};
  if (lstat(text.c_str(), &about) == 0 && S_ISSOCK(about.st_mode)) (void)unlink(text.c_str());
  if (bind(fd.get(), name, sizeof(address)) != 0 || chmod(text.c_str(), 0666) != 0) return failed(text);
  const int on = 1;
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
  return fd;
}

bool receive_datagram(const FileDescriptor& fd, std::string& buffer, SyslogDatagram& datagram) {
  alignas(cmsghdr) std::array<char, 256> control{};
  sockaddr_storage from{};
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof(from);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = recvmsg(fd.get(), &message, 0);
  if (got < 0) return false;
  datagram = {};
  datagram.text = std::string_view(buffer.data(), static_cast<size_t>(got));
  datagram.cut = (message.msg_flags & MSG_TRUNC) != 0;
  datagram.from = text_of(from);
  read_control(message, datagram);
  return true;
}

std::string peer_of(const FileDescriptor& fd) {
  sockaddr_storage from{};
  socklen_t length = sizeof(from);
  if (getpeername(fd.get(), reinterpret_cast<sockaddr*>(&from), &length) != 0) return {};
  return text_of(from);
}

}  // namespace portbook
