// What a sender holds and what it does next, without sockets and threads: which batches wait where, under which numbers, and what
// the book's word changes about that. docs/agent.md says what is durable when.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ship/spool.h"
#include "ship/told_file.h"
#include "ship/wire.h"

namespace portbook {

// Adds `shift` to the source_seq of each record and leaves the first `skip` of them out. Errors: kBadInput (not records).
Status renumber(Batch& batch, int64_t shift, uint32_t skip);

// Owned by one thread at a time.
//
// A batch is held from take() until the book has it: in memory if it could be sent at once, else in the spool. `done` is called
// with success once the book acknowledged it or it is durable in the spool; with kBadInput if the book refuses it for ever and it
// was not spooled; with kUnavailable if neither the book nor the spool can take it now. Batches of a source go to the book in
// order, and none goes past the spool while anything is in it.
class SendState {
 public:
  using Done = std::function<void(const Status&)>;

  // `host` stands in gap records. Takes over what an earlier run left in the spool.
  static std::unique_ptr<SendState> make(std::unique_ptr<Spool> spool, std::string host, Clock& clock, ToldFile told = {});

  // The number after which a source that begins now goes on, as far as it is known: by the spool, or by the book (on this
  // connection). Nothing if neither says; then assume() is called before the source's first batch.
  [[nodiscard]] std::optional<uint64_t> last_seq(std::string_view source);
  // The source begins at 1, provisionally, until the book says what it has of it.
  void assume(std::string_view source);

  void take(Batch batch, Done done);

  // All that the source will ever tell of what happened up to `until` was answered for with success.
  void told(std::string_view source, TimeNs until);
  // What an earlier run left untold, from and to; spans what the clock was set by meanwhile. Nothing where nobody knows.
  [[nodiscard]] std::optional<std::pair<TimeNs, TimeNs>> untold(std::string_view source) const;
  // The next message about that: news of a source of which nothing waits here. `all_begun`: every source that this run has was
  // asked for; others, that an earlier run left in the spool, will tell nothing more.
  std::optional<ToldMessage> next_told(bool all_begun);

  // The connection's life. After connected() messages come from next(), until disconnected().
  void connected(const BookWelcome& welcome);
  void disconnected();
  // Errors: kDenied, kNewer, kUnavailable (not now), kIo (the spool): the connection is of no use; the message says why.
  Status opened(const SourceOpened& message);
  Status answered(const BatchAnswer& message);

  // The next message to send: a source to open or a batch; nothing when there is none, or the book has as much as it wants.
  // Errors: kIo, kCorrupt: the spool cannot be read.
  struct Outgoing {
    uint16_t stream = 0;
    std::string source;  // to open; empty: a batch
    Batch batch;
  };
  Result<std::optional<Outgoing>> next();

  // Nothing is held.
  [[nodiscard]] bool idle() const;
  [[nodiscard]] uint64_t spool_bytes() const { return spool_->bytes(); }
  [[nodiscard]] uint64_t spool_bytes_max() const { return spool_->bytes_max(); }
  [[nodiscard]] uint64_t refused_batches() const { return refused_batches_; }
  // Answers for dones; the caller runs them when it holds no lock.
  std::vector<std::function<void()>> take_answers() { return std::exchange(answers_, {}); }
  // Why the spool took nothing the last time; empty when it did.
  [[nodiscard]] const std::string& spool_problem() const { return spool_problem_; }

 private:
  enum class Opening : uint8_t { kNotAsked, kAsked, kReady };
  // A batch or gap record in the spool that the book is not known to have.
  struct Item {
    uint64_t seq_first = 0;
    uint32_t count = 0;
    int64_t shift = 0;  // from the numbers in the spooled bytes
    uint32_t skip = 0;  // records at the front of the bytes that are not sent
    SpoolPlace place;
  };
  struct Direct {
    Batch batch;
    Done done;
    bool sent = false;
  };
  struct Source {
    std::string name;
    uint16_t stream = 0;
    Opening opening = Opening::kNotAsked;
    bool known = false;       // `produced` is the number after which it goes on
    bool provisional = true;  // the book's word was not heard since `produced` was known
    int64_t shift = 0;        // from the numbers of batches that are taken
    uint64_t produced = 0;    // last number that was spooled or acknowledged
    uint64_t sent_to = 0;     // last number that the book may have
    std::deque<Item> items;   // ascending
    size_t sent = 0;          // of items, from the front, on this connection
    std::optional<Direct> direct;
    bool begun = false;       // by this run
    bool numbered = false;    // who makes its batches knows the number after which they go on
    TimeNs told = 0;          // up to then the book has everything; 0: that is not known yet
    bool told_news = false;   // the book was not told on this connection
    uint64_t kept_until = 0;  // boot time from which the file gets it again
    struct Ripening {
      uint64_t after = 0;  // once the book has the numbers up to this one
      TimeNs until = 0;
    };
    std::deque<Ripening> ripening;  // ascending
  };

  struct Loss;
  SendState(std::unique_ptr<Spool> spool, std::string host, Clock& clock, ToldFile told);
  Source& source(std::string_view name);
  Source* by_stream(uint16_t stream);
  void adopt();
  void adopt_batch(const SpooledBatch& batch);
  Status fill_holes(Source& of);
  Status change(Source& of, Renumbering renumbering, const Loss* loss);
  void apply(Source& of, const Renumbering& renumbering);
  Status settle(Source& of, uint64_t last_seq);
  Status settle_provisional(Source& of, uint64_t last_seq);
  void skip_to(Source& of, uint64_t last_seq);
  void let_go(Source& of, const std::deque<Item>::iterator& item);
  Status answered_direct(Source& of, const BatchAnswer& message);
  Status answered_item(Source& of, const BatchAnswer& message);
  Status spool_batch(Source& of, const Batch& batch);
  [[nodiscard]] Bytes gap_record(const Source& of, uint64_t seq, const Loss& loss) const;
  Result<Batch> load(const Source& of, const Item& item);
  void answer(Done done, Status status);

  std::unique_ptr<Spool> spool_;
  const std::string host_;
  Clock& clock_;
  ToldFile told_file_;
  std::deque<Source> sources_;  // stable addresses
  std::vector<std::function<void()>> answers_;
  bool connected_ = false;
  size_t items_ = 0;  // over all sources
  uint64_t unanswered_bytes_ = 0;
  uint32_t window_bytes_ = kShipWindowBytes;
  uint64_t refused_batches_ = 0;
  std::string spool_problem_;
};

}  // namespace portbook
