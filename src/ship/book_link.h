// An import's way to a running book. Nothing is kept on the way, as whoever imports has the lines themselves.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "record/batch.h"
#include "ship/stream_socket.h"
#include "ship/wire.h"

namespace portbook {

struct BookLinkOptions {
  std::filesystem::path socket;  // the book's ingest socket
  std::string host;              // sources begin with HOST/import/
  std::string program;           // version of this program
};

// Thread-safe.
class BookLink {
 public:
  static constexpr std::chrono::seconds kAnswerTimeout{10};  // a book that says nothing for so long is taken to be away
  static constexpr std::chrono::seconds kPingEvery{1};

  // Returns once the book has let it in. Errors: kUnavailable (no book runs there, or it does not answer), kDenied, kBadInput (the
  // path), kNewer (another version), kIo.
  static Result<std::unique_ptr<BookLink>> connect(const BookLinkOptions& options);
  // What was not answered by then is answered with kUnavailable.
  ~BookLink();

  // Begins a source, once each and at most kShipSourcesMax; the number after which it goes on. Errors: kDenied, kUnavailable
  // (somebody else writes it now, or the book is gone).
  Result<uint64_t> open(const std::string& source);
  // Of a source that was opened, in the order of its numbers. Waits while the book has enough to do. `answered` is called once,
  // from any thread: with success when the records are durable, hashed, signed and searchable; kBadInput when they never will be;
  // kUnavailable when nobody knows.
  using Answered = std::function<void(const Status&)>;
  void submit(Batch batch, Answered answered);

  // Why the connection is of no use any more; nothing while it is.
  [[nodiscard]] std::optional<Error> failure() const;
  // Name of the book, as it says.
  [[nodiscard]] const std::string& origin() const { return origin_; }

 private:
  struct Waiting {
    size_t bytes = 0;
    Answered answered;
  };
  struct Stream {
    std::string source;
    std::optional<Result<uint64_t>> opened;
    std::deque<Waiting> waiting;  // in the order in which they were sent
  };

  BookLink(FileDescriptor fd, FileDescriptor wake) : fd_(std::move(fd)), wake_(std::move(wake)) {}
  Status greet(const BookLinkOptions& options);
  void run();
  Status talk();
  Status take_in(std::vector<std::function<void()>>& calls);
  Status handle(const ShipMessage& message, std::vector<std::function<void()>>& calls);
  Status answered(const BatchAnswer& message, std::vector<std::function<void()>>& calls);
  void fail_all(const Error& error);

  const FileDescriptor fd_;
  const FileDescriptor wake_;
  std::string origin_;
  Bytes in_;  // of the thread that reads, as the next

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Stream> streams_;  // by number
  Bytes out_;
  size_t out_at_ = 0;
  size_t unanswered_bytes_ = 0;
  bool stopping_ = false;
  std::optional<Error> failure_;
  std::thread thread_;
};

}  // namespace portbook
