// An agent's way to a book: hands batches over one connection, keeps what the book has not acknowledged, spools while it is away.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "record/batch.h"
#include "ship/send_state.h"
#include "ship/stream_socket.h"

namespace portbook {

struct SenderOptions {
  std::filesystem::path socket;  // the book's ingest socket
  std::string host;
  std::string part =
      {};  // behind the host's name, where it says to the book who it is: "/syslog"; the book then allows what logs state
  std::string program;  // version of this program
  std::string token;    // empty: this process's user is the credential
  std::filesystem::path spool;
  std::string spool_shown;  // what sentences call it; empty: its path
  uint64_t spool_bytes_max = kSpoolBytesDefault;
  // Called from the sending thread with one sentence for a person when the connection comes or goes, or cannot be had.
  std::function<void(const std::string&)> say;
};

// What the agent says of itself beside its records. Copied.
struct AgentReport {
  struct Line {
    std::string what;
    std::string state;
    std::string means;
    std::string detail;
    bool operator==(const Line&) const = default;
  };
  bool capturing = false;
  std::vector<Line> lines;
  std::vector<std::pair<std::string, uint64_t>> numbers;
};

// Thread-safe.
class Sender {
 public:
  // How long the first question for a source's last number waits for the book before the source begins provisionally.
  static constexpr std::chrono::seconds kFirstAnswerWait{2};
  // A book that answers nothing for so long is taken to be away.
  static constexpr std::chrono::seconds kAnswerTimeout{10};
  static constexpr std::chrono::milliseconds kRetryMin{20};
  static constexpr std::chrono::milliseconds kRetryMax{1000};
  static constexpr std::chrono::seconds kRetryDenied{5};
  static constexpr std::chrono::seconds kReportEvery{1};
  static constexpr std::chrono::milliseconds kToldEvery{40};

  // Opens the spool and begins to connect; a book that is away is no error. Errors: kBadInput (no host), kDenied, kIo, kLimit (the
  // spool).
  static Result<std::unique_ptr<Sender>> start(SenderOptions options, Clock& clock);
  // stop().
  ~Sender();

  // The number after which a source goes on. Waits for the book, but no longer than kFirstAnswerWait after the start.
  uint64_t last_seq(std::string_view source);

  // As of SendState. Neither waits.
  void told(std::string_view source, TimeNs until);
  [[nodiscard]] std::optional<std::pair<TimeNs, TimeNs>> untold(std::string_view source) const;

  // Takes a batch of a source for which last_seq() was asked, one of each source at a time. `done` is called once, from any thread:
  // success when the book acknowledged it or it is durable in the spool; kBadInput when the book refused it for ever; kUnavailable
  // when neither book nor spool can take it now. Returns without waiting for the book.
  using Done = SendState::Done;
  void submit(Batch batch, Done done);

  // Sent at once when it changes whether capturing has begun, else within kReportEvery.
  void report(AgentReport report);

  // Waits until the book has everything, no longer than `patience`; what it has not by then stays in the spool. Then says bye.
  void stop(std::chrono::milliseconds patience = std::chrono::milliseconds(3000));

  struct State {
    bool connected = false;
    uint64_t spool_bytes = 0;
    std::string problem;  // why there is no connection, or why the spool took nothing; empty when all is well
  };
  [[nodiscard]] State state() const;
  // Returns once the book has everything that was handed over, or after the timeout; false then.
  bool drain(std::chrono::milliseconds timeout);

 private:
  class Session;
  Sender(SenderOptions options, std::unique_ptr<SendState> state, FileDescriptor wake);
  void run();
  void wait_to_retry(std::chrono::milliseconds delay);
  void note_lost(const Error& error);
  void run_answers();

  const SenderOptions options_;
  FileDescriptor wake_;
  const std::chrono::steady_clock::time_point started_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;  // the state, or stopping_
  std::unique_ptr<SendState> state_;
  AgentReport report_;
  bool report_is_new_ = false;
  bool connected_ = false;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point stop_by_;
  std::string problem_;
  std::thread thread_;
};

}  // namespace portbook
