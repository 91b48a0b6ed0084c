// What each process of portbook does, once its arguments are read. `portbook up` runs book and agent as processes of their own;
// `portbook serve` and `portbook agent` are one of them alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "book/book.h"
#include "logs/log_shipper.h"
#include "logs/syslog_receiver.h"

namespace portbook {

// A descriptor on which a supervisor says a token by which its children know each other, and whose end means: stop.
inline constexpr int kNoSupervisor = -1;

struct BookRole {
  std::filesystem::path data;
  std::string listen = "127.0.0.1:7171";
  std::filesystem::path tls_certificate;  // both or none; with them every caller needs a token
  std::filesystem::path tls_key;
  std::string host;
  std::string origin;
  std::filesystem::path ingest;  // besides the socket in the meeting place, one where all need a token; empty: none
  std::optional<uint64_t> self_check_rate =
      {};                        // bytes a second, 0 for none; nothing: as much as a book does unless told otherwise
  uint64_t cache_bytes_max = 0;  // of decoded blocks, in memory; 0: as much as a book keeps unless told otherwise
  Keep keep = {};
  int supervisor = kNoSupervisor;
  bool again = false;  // the supervisor started it again: no welcome, and answers are given at once
};

struct AgentRole {
  std::filesystem::path book;  // ingest socket
  std::filesystem::path spool;
  uint64_t spool_bytes_max = 0;
  std::string token;
  std::string host;
  bool no_cmdline = false;
  bool no_bpf = false;
  int supervisor = kNoSupervisor;
};

struct FollowRole {
  std::vector<FollowedLog> logs;
  std::filesystem::path book;       // ingest socket
  std::filesystem::path positions;  // folder
  std::string token;
  std::string host;
  int supervisor = kNoSupervisor;
};

struct ReceiveRole {
  SyslogPlaces places;
  Zone zone;
  uint32_t rate_max = kSyslogRateDefault;
  std::filesystem::path book;   // ingest socket
  std::filesystem::path spool;  // folder
  std::string token;
  std::string host;
  int supervisor = kNoSupervisor;
};

// Each returns the process's exit code once it was told to stop by SIGTERM, by SIGINT or SIGHUP (not under a supervisor, which
// gets those itself), or by the supervisor's end; or when it could not begin.
int run_book(const BookRole& role);
int run_agent(const AgentRole& role);
int run_follow(const FollowRole& role);
int run_receive(const ReceiveRole& role);

// Blocks what wait_for_stop() waits for; before any thread is made.
void block_stop_signals();
// Returns when the process is to stop. `patience_ms` below 0: for ever; else false when nothing came in that time.
// With `hang_up`, SIGHUP calls that and stops nothing.
bool wait_for_stop(int supervisor, int patience_ms = -1, const std::function<void()>& hang_up = {});
// What the supervisor says first. Errors: kIo.
Result<std::string> read_supervisor_token(int supervisor);

// This machine's host name.
std::string host_name();
inline constexpr uint32_t kKeepDaysMax = 100'000;
// That many days in ns. At most kKeepDaysMax of them fit.
constexpr uint64_t days_ns(uint32_t days) {
  return uint64_t{days} * 24 * 3600 * kNsPerSecond;
}
static_assert(days_ns(kKeepDaysMax) / kNsPerSecond / 3600 / 24 == kKeepDaysMax);
// The token in a file of one line. Errors: kNotFound, kBadInput.
Result<std::string> read_token_file(const std::string& path);
// "+01:00", "-0330", "UTC", "local" (the machine's), or a name of the machine's table of zones such as Europe/Berlin, which becomes
// that of the process: before any thread is made. Errors: kBadInput.
Result<Zone> choose_zone(const std::string& text);

inline constexpr std::string_view kClockErrorHelp =
    "How wrong the clock of whoever wrote it may be, such as 5ms; a time in whole seconds may be 1s more (default: not said)";
inline constexpr uint64_t kClockErrorMaxNs = 24 * 3600 * kNsPerSecond;
// "5ms" in nanoseconds; nothing of an empty text. Errors: kBadInput.
Result<std::optional<uint64_t>> choose_clock_error(const std::string& text);
// "64MiB", "1GiB", "500000". Errors: kBadInput.
Result<uint64_t> parse_bytes(const std::string& text);
// The same of bytes a second; "off" is 0.
Result<uint64_t> parse_rate(const std::string& text);

}  // namespace portbook
