// The way from capture's threads to the book: one stream of records per source, in batches, none lost on the way.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "capture/capture.h"
#include "record/batch.h"

namespace portbook {

class Outbox;

// Records of one source, in order. Thread-safe; add() and flush() never wait for the book.
class Stream {
 public:
  // Takes the record, with `host` set on it. Sending starts at flush() or when much has gathered.
  void add(Record& record);
  // Lets the sending thread have what has gathered.
  void flush();
  // So much waits that the caller should leave further events with the kernel.
  [[nodiscard]] bool crowded() const;
  [[nodiscard]] const std::string& source() const { return source_; }

 private:
  friend class Outbox;
  Stream(Outbox& outbox, std::string source, uint64_t next_seq);
  void add_locked(Record& record);
  void replace_refused(const std::string& reason, TimeNs now);

  Outbox& outbox_;
  const std::string source_;
  // Guarded by the outbox's mutex.
  std::deque<Batch> full_;  // before builder_'s
  BatchBuilder builder_;
  Batch under_way_;             // kept until the sink has answered
  bool asked_ = false;          // the sink has under_way_ and has not answered
  bool send_again_ = false;     // under_way_ failed
  uint64_t send_again_at_ = 0;  // boot time
  bool flushed_ = false;
};

// Owns the streams and the sending thread.
class Outbox {
 public:
  using Sink = std::function<void(Batch, CaptureOptions::Done)>;
  Outbox(std::string host, Sink sink, Clock& clock);
  ~Outbox();
  Outbox(const Outbox&) = delete;

  // Valid as long as the outbox. Before the first record only.
  Stream& open(std::string source, uint64_t next_seq);
  // Returns once the sink has answered for everything that was added, or after `timeout`; false then.
  bool drain(std::chrono::milliseconds timeout);

  [[nodiscard]] uint64_t records() const;
  [[nodiscard]] uint64_t batches() const;

 private:
  friend class Stream;
  void run();
  void answered(Stream& stream, const Status& status);
  Stream* next_to_send(uint64_t now, uint64_t& wake_at);
  [[nodiscard]] bool idle() const;

  const std::string host_;
  const Sink sink_;
  Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Stream>> streams_;
  uint64_t records_ = 0;
  uint64_t batches_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace portbook
