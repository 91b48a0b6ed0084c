#include "cli/roles.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include "server/credentials.h"
#include "ship/stream_socket.h"
#include "sources/line.h"

namespace portbook {

namespace {

constexpr size_t kTokenFileBytesMax = 256;

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

Result<std::string> read_token_file(const std::string& path) {
  std::ifstream file(path);
  std::string token(kTokenFileBytesMax, '\0');
  if (!file) return fail(ErrorCode::kNotFound, fmt::format("cannot read the token file {}", path));
  file.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<size_t>(file.gcount()));
  while (token.ends_with('\n') || token.ends_with(' ')) token.pop_back();
  if (token.empty() || token.size() == kTokenFileBytesMax || token.contains('\n'))
    return fail(ErrorCode::kBadInput,
                fmt::format("{} is not a token file, which has one line of at most {} bytes", path, kTokenFileBytesMax - 1));
  return token;
}

namespace {

// False if it is no name of a zone that this machine knows.
bool use_named_zone(const std::string& name) {
  constexpr size_t kZoneNameBytesMax = 64;
  const auto fits = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' || c == '_' || c == '-' || c == '+';
  };
  if (name.empty() || name.size() > kZoneNameBytesMax || name.front() == '/' || !std::ranges::all_of(name, fits)) return false;
  std::array<char, 4> magic{};
  std::ifstream file("/usr/share/zoneinfo/" + name, std::ios::binary);
  if (!file.read(magic.data(), magic.size()) || std::string_view(magic.data(), magic.size()) != "TZif") return false;  // RFC 8536
  setenv("TZ", (":" + name).c_str(), 1);
  return true;
}

}  // namespace

Result<Zone> choose_zone(const std::string& text) {
  if (text == "UTC") return Zone{};
  if (text == "local" || use_named_zone(text)) {
    tzset();
    return Zone{.of_process = true};
  }
  const bool colon = text.size() == 6 && text[3] == ':';
  uint64_t hours = 0;
  uint64_t minutes = 0;
  if ((colon || text.size() == 5) && (text[0] == '+' || text[0] == '-') && parse_count(text.substr(1, 2), hours) &&
      parse_count(text.substr(colon ? 4 : 3), minutes) && hours <= 14 && minutes <= 59) {
    const auto east = static_cast<int32_t>(hours * 60 + minutes);
    return Zone{.minutes_east = text[0] == '-' ? -east : east};
  }
  return fail(
      ErrorCode::kBadInput,
      fmt::format(
          "--zone: \"{}\" is no offset such as +01:00, nor UTC, local, or a zone that this machine knows, such as Europe/Berlin",
          text));
}

Result<std::optional<uint64_t>> choose_clock_error(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto error = parse_duration(text);
  if (!error) return std::unexpected(error.error().in("--clock-error"));
  if (*error > kClockErrorMaxNs) return fail(ErrorCode::kBadInput, "--clock-error: at most 1d");
  return *error;
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
