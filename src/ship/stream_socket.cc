#include "ship/stream_socket.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace portbook {

namespace {

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.empty() || text.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kBadInput, fmt::format("a unix socket's path has 1 to {} bytes, and this one has not: \"{}\"",
                                                  sizeof address.sun_path - 1, text));
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

std::unexpected<Error> system_failure(std::string_view what, const std::filesystem::path& path, int error) {
  ErrorCode code = ErrorCode::kIo;
  if (error == EACCES || error == EPERM) code = ErrorCode::kDenied;
  if (error == ENOENT || error == ECONNREFUSED || error == EAGAIN) code = ErrorCode::kUnavailable;
  return fail(code, fmt::format("{} {}: {}", what, path.string(), std::strerror(error)));
}

// A process that was killed may hold its socket for a moment longer.
constexpr int kTakeOverTries = 100;
constexpr std::chrono::milliseconds kTakeOverPause(20);

}  // namespace

Result<FileDescriptor> connect_unix(const std::filesystem::path& path) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return system_failure("cannot make a socket for", path, errno);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
    return system_failure("cannot reach the book at", path, errno);
  return fd;
}

bool somebody_listens(const std::filesystem::path& path) {
  for (int tries = 0; tries < kTakeOverTries; ++tries) {
    const auto connected = connect_unix(path);
    if (!connected) return false;
    std::this_thread::sleep_for(kTakeOverPause);
  }
  return true;
}

Result<FileDescriptor> listen_unix(const std::filesystem::path& path, mode_t mode) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return system_failure("cannot make a socket for", path, errno);
  struct stat there{};
  if (lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return fail(ErrorCode::kBadInput, fmt::format("{} is there and is no socket", path.string()));
    unlink(path.c_str());
  }
  const mode_t before = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
  const int error = errno;
  umask(before);
  if (bound != 0) return system_failure("cannot listen on", path, error);
  if (chmod(path.c_str(), mode) != 0 || listen(fd.get(), SOMAXCONN) != 0) return system_failure("cannot listen on", path, errno);
  return fd;
}

Result<FileDescriptor> make_wake_fd() {
  FileDescriptor fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return fail(ErrorCode::kIo, fmt::format("cannot make an eventfd: {}", std::strerror(errno)));
  return fd;
}

void wake(const FileDescriptor& fd) {
  (void)eventfd_write(fd.get(), 1);
}

void drain_wakes(const FileDescriptor& fd) {
  eventfd_t count = 0;
  (void)eventfd_read(fd.get(), &count);
}

Moved read_some(const FileDescriptor& fd, Bytes& in, size_t bytes_max) {
  const size_t before = in.size();
  in.resize(before + bytes_max);
  ssize_t got = 0;
  do {
    got = recv(fd.get(), in.data() + before, bytes_max, 0);
  } while (got < 0 && errno == EINTR);
  const int error = errno;
  in.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got > 0) return Moved::kSome;
  return got < 0 && (error == EAGAIN || error == EWOULDBLOCK) ? Moved::kNothing : Moved::kClosed;
}

Moved write_some(const FileDescriptor& fd, Bytes& out, size_t& at) {
  if (at == out.size()) return Moved::kNothing;
  ssize_t sent = 0;
  do {
    sent = send(fd.get(), out.data() + at, out.size() - at, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? Moved::kNothing : Moved::kClosed;
  at += static_cast<size_t>(sent);
  if (at == out.size()) {
    out.clear();
    at = 0;
  }
  return Moved::kSome;
}

}  // namespace portbook
