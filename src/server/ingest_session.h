// One agent's connection, on a thread of its own.
#pragma once

#include <deque>

#include "server/ingest.h"

namespace portbook {

class Ingest::Session {
 public:
  Session(Ingest& ingest, FileDescriptor fd, FileDescriptor wake, uint32_t uid, int32_t pid, PeerRights rights);

  // Returns when the connection has ended and the book has answered for every batch of it.
  void run();
  // Makes run() return soon. From any thread.
  void stop() { portbook::wake(answers_->wake); }
  [[nodiscard]] bool finished() const { return finished_.load(); }
  [[nodiscard]] uint32_t uid() const { return uid_; }
  [[nodiscard]] int32_t pid() const { return pid_; }

 private:
  // What the book's writer thread says about a batch; kept by both, because either may be gone first.
  struct Answers {
    FileDescriptor wake;
    std::mutex mutex;
    std::vector<std::pair<uint64_t, Result<Receipt>>> come;  // by number of the batch; guarded by mutex
  };
  struct Stream {
    std::string source;
    bool open = false;
    bool told = false;  // on this connection, up to when everything of it has come
  };
  // A batch that is not answered yet; answers go out in the order of the batches.
  struct Pending {
    uint64_t number = 0;
    uint16_t stream = 0;
    uint64_t seq_first = 0;
    uint32_t count = 0;
    size_t bytes = 0;
    std::optional<Result<Receipt>> outcome;
  };

  void talk();
  bool revoked();
  void wait_for_book();
  bool read_and_handle();
  bool handle(const ShipMessage& message);
  bool hello(const AgentHello& message);
  bool import_hello(const AgentHello& message);
  void welcome();
  bool enrolment(const EnrolmentRequest& message);
  bool open(const SourceOpen& message);
  bool batch(const ShippedBatch& message);
  void report(const ReportMessage& message);
  bool told(const ToldMessage& message);
  // All of the host's agent, up to a moment ago, has come, and no other connection may have more.
  [[nodiscard]] bool delivers(const AgentStatus& status) const;
  // Whether it was said of every open source, on this connection, up to when all of it has come.
  [[nodiscard]] bool all_told() const;
  // Up to when everything of all its sources has come, as far as it was said.
  [[nodiscard]] std::optional<TimeNs> told_until(const AgentStatus& status) const;
  // Says good-bye with the reason; false, so that the connection ends.
  bool end(ByeCode code, const std::string& reason);
  Result<Credential> credential_of(const AgentHello& message) const;
  void collect_answers();
  void answer(const Pending& pending);
  void flush();
  void change_status(const std::function<void(AgentStatus&)>& change);

  Ingest& ingest_;
  FileDescriptor fd_;
  const std::shared_ptr<Answers> answers_;
  const uint32_t uid_;
  const int32_t pid_;
  const PeerRights rights_;
  std::atomic<bool> finished_{false};
  bool welcomed_ = false;
  bool imports_ = false;   // what other programs said: its coming and going says nothing about capture
  bool said_bye_ = false;  // having handed over everything
  bool counted_as_stranger_ = false;
  std::string host_;
  Credential credential_;  // its token_hash is zero for this book's own host
  Allowance allowance_;
  uint64_t revocations_seen_ = 0;
  std::vector<Stream> streams_{kShipSourcesMax};
  std::deque<Pending> pending_;
  size_t pending_held_bytes_ = 0;  // see held_bytes()
  uint64_t next_number_ = 1;
  Bytes in_;
  size_t in_needed_ = kShipHeaderBytes;
  Bytes out_;
  size_t out_at_ = 0;
  const std::chrono::steady_clock::time_point accepted_;
  std::chrono::steady_clock::time_point heard_;
  friend class Ingest;
};

}  // namespace portbook
