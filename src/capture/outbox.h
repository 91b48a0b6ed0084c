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
  // All that this source will ever tell of what happened up to then has been added. Said further once the sink has taken it.
  void told(TimeNs until);
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
  [[nodiscard]] bool nothing_waits() const;
  void say_told(TimeNs until);

  Outbox& outbox_;
  const std::string source_;
  // Guarded by the outbox's mutex.
  struct Waiting {
    Batch batch;
    TimeNs told = 0;  // with it everything up to then is handed over; 0: nothing is known to be
  };
  std::deque<Waiting> full_;  // before builder_'s
  BatchBuilder builder_;
  Waiting under_way_;           // kept until the sink has answered
  bool asked_ = false;          // the sink has under_way_ and has not answered
  bool send_again_ = false;     // under_way_ failed
  uint64_t send_again_at_ = 0;  // boot time
  bool flushed_ = false;
  TimeNs told_ = 0;  // of what was added so far
  TimeNs said_ = 0;  // the last one that went further
};

// Owns the streams and the sending thread.
class Outbox {
 public:
  using Sink = std::function<void(Batch, CaptureOptions::Done)>;
  // As CaptureOptions::told.
  using Told = std::function<void(const std::string& source, TimeNs until)>;
  Outbox(std::string host, Sink sink, Clock& clock, Told told = {});
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
  const Told told_;
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
