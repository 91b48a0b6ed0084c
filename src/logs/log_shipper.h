// Follows logs and hands their lines to a book over one connection; while the book is away or slow, the files keep them.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "logs/file_follower.h"
#include "ship/stream_socket.h"

namespace portbook {

// A log follower says to the book that it is "HOST/log": its sources' names begin so, and it may write nothing else.
inline constexpr std::string_view kLogsOfHost = "/log";

struct FollowedLog {
  std::filesystem::path path;
  std::string name;  // in the source's name, HOST/log/NAME; unique
  LineFormat format = LineFormat::kHaproxy;
  Zone zone;                                    // of times that name none
  std::optional<uint64_t> clock_error_ns = {};  // as LineOrigin
};

struct LogShipperOptions {
  std::vector<FollowedLog> logs;  // at most kFollowedLogsMax
  std::filesystem::path socket;   // the book's ingest socket
  std::string host;
  std::string program;           // version of this program
  std::string token;             // empty: this process's user is the credential
  std::filesystem::path folder;  // of the positions; it must exist
  FollowerTimes times = {};
  // Called from the shipping thread with one sentence for a person when the connection comes or goes.
  std::function<void(const std::string&)> say;
};

class LogShipper {
 public:
  // Reads the positions and begins; a book that is away is no error. Errors: kBadInput (too many logs, two of one name, no host),
  // kDenied, kIo, kCorrupt, kNewer (the positions), kUnavailable (another one keeps them), kLimit.
  static Result<std::unique_ptr<LogShipper>> start(LogShipperOptions options, Clock& clock);
  // stop().
  ~LogShipper();

  // Waits a moment for what is under way, and keeps the positions. Errors: kIo, kLimit (what is not kept is read again and passed
  // over).
  Status stop();

 private:
  class Session;
  struct Log;
  LogShipper(LogShipperOptions options, Clock& clock, PositionsFile positions, FileDescriptor wake);
  void run();

  const LogShipperOptions options_;
  Clock& clock_;
  FileDescriptor wake_;
  FileDescriptor lock_;
  std::atomic<bool> stopping_{false};

  // Owner: the shipping thread.
  PositionsFile positions_;
  std::vector<std::unique_ptr<Log>> logs_;
  std::string problem_;
  Status kept_;  // the positions, at the end
  std::thread thread_;
};

}  // namespace portbook
