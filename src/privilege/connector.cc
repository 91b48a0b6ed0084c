#include "privilege/connector.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "privilege/confine.h"
#include "privilege/message_socket.h"

namespace portbook {

namespace {

constexpr int kConnectorSocket = 3;
constexpr int kConnectPatienceSeconds = 5;
constexpr size_t kRequestBytesMax = 1;
constexpr size_t kAnswerBytesMax = 512;  // an error's code, and its sentence

struct Address {
  sockaddr_storage bytes{};
  socklen_t length = 0;
};

std::optional<Address> address_of(const ConnectorPlace& place) {
  Address address;
  if (!place.path.empty()) {
    sockaddr_un of{};
    of.sun_family = AF_UNIX;
    if (place.path.size() >= sizeof of.sun_path) return std::nullopt;
    std::memcpy(of.sun_path, place.path.data(), place.path.size());
    std::memcpy(&address.bytes, &of, sizeof of);
    address.length = sizeof of;
    return address;
  }
  sockaddr_in of4{};
  of4.sin_family = AF_INET;
  of4.sin_port = htons(place.port);
  if (inet_pton(AF_INET, place.address.c_str(), &of4.sin_addr) == 1) {
    std::memcpy(&address.bytes, &of4, sizeof of4);
    address.length = sizeof of4;
    return address;
  }
  sockaddr_in6 of6{};
  of6.sin6_family = AF_INET6;
  of6.sin6_port = htons(place.port);
  if (inet_pton(AF_INET6, place.address.c_str(), &of6.sin6_addr) != 1) return std::nullopt;
  std::memcpy(&address.bytes, &of6, sizeof of6);
  address.length = sizeof of6;
  return address;
}

std::unexpected<Error> not_connected(int error) {
  if (error == EACCES || error == EPERM) return fail(ErrorCode::kDenied, "this user may not connect to it");
  if (error == ENOENT || error == ECONNREFUSED) return fail(ErrorCode::kUnavailable, "nobody listens there");
  if (error == EAGAIN || error == EINPROGRESS || error == ETIMEDOUT)
    return fail(ErrorCode::kUnavailable, fmt::format("it did not accept a connection within {} s", kConnectPatienceSeconds));
  return fail(ErrorCode::kIo, fmt::format("it cannot be connected to: {}", std::strerror(error)));
}

// Everything that the process has from its parent is closed but standard error.
void keep_only(int socket) {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  PB_CHECK(dup2(socket, kConnectorSocket) == kConnectorSocket);
  syscall(SYS_close_range, kConnectorSocket + 1, ~0u, 0);
}

int run_connector(int socket, const ConnectorPlace& place, const std::optional<UserIdentity>& user) {
  keep_only(socket);
  prctl(PR_SET_NAME, "portbook-connec", 0, 0, 0);
  ConfineOptions options;
  options.part = Part::kConnector;
  options.user = user;
  if (place.path.empty()) options.tcp_peer_port = place.port;
  if (const auto confined = confine(options); !confined) {
    fmt::print(stderr, "What connects to {} cannot give up its privileges, and does not run: {}\n",
               place.path.empty() ? place.address : place.path, confined.error().message);
    return exit_code(confined.error().code);
  }
  Bytes request;
  std::vector<FileDescriptor> none;
  while (receive_message(kConnectorSocket, kRequestBytesMax, 0, request, none)) {
    auto fd = connect_to(place);
    Bytes answer{static_cast<Byte>(fd ? 0 : static_cast<int>(fd.error().code) + 1)};
    std::vector<FileDescriptor> descriptors;
    if (fd) {
      descriptors.push_back(std::move(*fd));
    } else {
      append(answer, as_bytes(std::string_view(fd.error().message).substr(0, kAnswerBytesMax - 1)));
    }
    if (!send_message(kConnectorSocket, answer, descriptors)) break;
  }
  return 0;
}

class ConnectorProcess : public Connector {
 public:
  explicit ConnectorProcess(FileDescriptor socket) : socket_(std::move(socket)) {}

  Result<FileDescriptor> connect() override {
    const auto gone = [] { return fail(ErrorCode::kUnavailable, "the process that connects to it is gone; start portbook again"); };
    Bytes answer{0};
    std::vector<FileDescriptor> descriptors;
    if (!send_message(socket_.get(), answer, {}) || !receive_message(socket_.get(), kAnswerBytesMax, 1, answer, descriptors) ||
        answer.empty())
      return gone();
    if (answer.front() != 0)
      return fail(static_cast<ErrorCode>(answer.front() - 1), std::string(as_text(ByteView(answer).subspan(1))));
    if (descriptors.empty()) return gone();
    return std::move(descriptors.front());
  }

 private:
  FileDescriptor socket_;
};

}  // namespace

Result<FileDescriptor> connect_to(const ConnectorPlace& place) {
  const auto address = address_of(place);
  if (!address) return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is no place to connect to", place.path + place.address));
  FileDescriptor fd(socket(address->bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail(ErrorCode::kIo, fmt::format("no socket can be made: {}", std::strerror(errno)));
  const timeval patience{kConnectPatienceSeconds, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);  // of connect(), too
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address->bytes), address->length) != 0) return not_connected(errno);
  if (fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return fail(ErrorCode::kIo, std::strerror(errno));
  return fd;
}

Result<std::unique_ptr<Connector>> start_connector(const ConnectorPlace& place, const std::optional<UserIdentity>& user) {
  auto ends = make_message_sockets();
  if (!ends) return std::unexpected(ends.error());
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0)
    return fail(ErrorCode::kIo, fmt::format("what connects for this process cannot be started: {}", std::strerror(errno)));
  if (pid == 0) _exit(run_connector(ends->second.get(), place, user));
  return std::make_unique<ConnectorProcess>(std::move(ends->first));
}

}  // namespace portbook
