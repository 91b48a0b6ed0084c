#include "cli/roles.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "server/credentials.h"
#include "ship/stream_socket.h"

namespace portbook {

namespace {

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  return signals;
}

}  // namespace

void block_stop_signals() {
  const sigset_t signals = stop_signals();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

bool wait_for_stop(int supervisor, int patience_ms, const std::function<void()>& hang_up) {
  const sigset_t signals = stop_signals();
  const FileDescriptor come(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  while (true) {
    std::array<pollfd, 2> fds{pollfd{come.get(), POLLIN, 0}, pollfd{supervisor, POLLIN, 0}};
    const int ready = poll(fds.data(), supervisor == kNoSupervisor ? 1 : 2, patience_ms);
    if (ready == 0) return false;
    if (ready > 0 && fds[1].revents != 0) return true;
    signalfd_siginfo info{};
    if (read(come.get(), &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo == SIGHUP && hang_up) {
      hang_up();
      continue;
    }
    // The terminal's signals come to every process of the group; the supervisor ends its children in order.
    if (supervisor == kNoSupervisor || info.ssi_signo == SIGTERM) return true;
  }
}

Result<std::string> read_supervisor_token(int supervisor) {
  std::string token(2 * kTokenBytes, '\0');
  size_t got = 0;
  while (got < token.size()) {
    const ssize_t some = read(supervisor, token.data() + got, token.size() - got);
    if (some < 0 && errno == EINTR) continue;
    if (some <= 0) return fail(ErrorCode::kIo, "the supervisor has gone");
    got += static_cast<size_t>(some);
  }
  return token;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name.front() == '\0') return "localhost";
  return name.data();
}

Result<uint64_t> parse_bytes(const std::string& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit = std::string_view(text).substr(static_cast<size_t>(end - text.data()));
  const unsigned shift = unit == "KiB" ? 10 : unit == "MiB" ? 20 : unit == "GiB" ? 30 : 0;
  if (error != std::errc{} || (shift == 0 && !unit.empty()) || number == 0 || number > UINT64_MAX >> shift)
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is no size, such as 64MiB or 1GiB", text));
  return number << shift;
}

Result<uint64_t> parse_rate(const std::string& text) {
  if (text == "off") return 0;
  return parse_bytes(text);
}

}  // namespace portbook
