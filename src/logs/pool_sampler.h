// Asks the consoles of PgBouncers again and again which client uses which server's connection, and hands that on as records.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/file_descriptor.h"
#include "base/result.h"
#include "logs/pool_console.h"
#include "logs/record_stream.h"
#include "ship/sender.h"

namespace portbook {

// The sampler says to the book that it is "HOST/pgbouncer": its sources' names begin so, and it may write nothing else.
inline constexpr std::string_view kPoolsOfHost = "/pgbouncer";
inline constexpr size_t kPoolConsolesMax = 8;  // by one process
inline constexpr uint64_t kPoolIntervalDefaultNs = kNsPerSecond;
inline constexpr uint64_t kPoolIntervalMinNs = 100 * kNsPerMs;
inline constexpr uint64_t kPoolIntervalMaxNs = 3600 * kNsPerSecond;

// One console, and as whom it is asked.
struct PoolConsolePlace {
  std::string shown;  // "/var/run/postgresql/.s.PGSQL.6432" or "127.0.0.1:6432"
  std::string name;   // in the source's name, HOST/pgbouncer/NAME; unique
  std::string user;
  std::string password;
  // A new, non-blocking connection. Called on the thread of this console alone.
  std::function<Result<FileDescriptor>()> connect;
};

struct PoolSamplerOptions {
  std::vector<PoolConsolePlace> consoles;  // at most kPoolConsolesMax
  std::string host;
  uint64_t interval_ns = kPoolIntervalDefaultNs;
  // How wrong this machine's clock may be now; nothing: it is not synchronised.
  std::function<std::optional<uint64_t>()> clock_error_ns;
  // Called from any thread with one sentence for a person when a console's answers begin to fail, and when they come again.
  std::function<void(const std::string&)> say;
};

class PoolSampler {
 public:
  // The sender outlives it. Errors: kIo.
  static Result<std::unique_ptr<PoolSampler>> start(const PoolSamplerOptions& options, Sender& sender, Clock& clock);
  // stop().
  ~PoolSampler();
  // Ends the links that are seen, and waits a moment until the sender has taken everything.
  void stop();

  // Of one console since this run began.
  struct State {
    std::string name;
    std::string shown;
    std::string user;
    uint64_t samples = 0;
    uint64_t failures = 0;
    uint64_t records = 0;
    size_t linked = 0;         // in the newest sample
    size_t without_ports = 0;  // of these, those over unix sockets on both sides
    std::string problem;       // the newest sample failed; empty when it did not
    std::string refusal;       // of the book
  };
  [[nodiscard]] std::vector<State> states() const;

 private:
  class Watch;
  PoolSampler() = default;
  std::vector<std::unique_ptr<Watch>> watches_;
};

// What to do about the reason why a console does not let somebody in; empty: nothing is known.
std::string advice_for_console(const Error& error, std::string_view user);

}  // namespace portbook
