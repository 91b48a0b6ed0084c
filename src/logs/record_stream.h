// Records of one source on their way through a Sender, for a source that cannot be read again.
#pragma once

#include <atomic>
#include <string>

#include "base/clock.h"
#include "base/file_descriptor.h"
#include "record/batch.h"
#include "ship/sender.h"

namespace portbook {

// Owned by one thread, which calls settle() when `wake` is ready and from time to time. `wake`, the sender and this must live until
// the sender has stopped.
class RecordStream {
 public:
  // Waits for the source's last number, as Sender::last_seq().
  RecordStream(std::string source, std::string host, Sender& sender, Clock& clock, const FileDescriptor& wake);

  [[nodiscard]] const std::string& source() const { return source_; }
  // Sets source and number.
  void add(Record& record) { builder_.add(record); }
  // A `gap` record about the source; `count` is left out where it is not known.
  void add_gap(TimeNs from, TimeNs to, std::string_view cause, std::optional<uint64_t> count = {});
  // What waits is so much that nothing more should be added.
  [[nodiscard]] bool crowded() const;
  // Takes the sender's answer and hands on what waits: one batch at a time, kept until it is answered. One that the book refuses
  // for ever becomes a gap record with its count.
  void settle();
  // Nothing waits any more.
  [[nodiscard]] bool all_handed_over() const { return under_way_.count == 0 && builder_.count() == 0; }
  // Why the book refused the newest batch that it refused; empty: none.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  void replace_refused();

  const std::string source_;
  const std::string host_;
  Sender& sender_;
  Clock& clock_;
  const FileDescriptor& wake_;
  BatchBuilder builder_;
  Batch under_way_;
  Record gap_;
  std::string refusal_;
  uint64_t again_at_ = 0;       // boot time
  bool busy_ = false;           // the sender has it
  std::string said_;            // of a refusal; written before `answer_`
  std::atomic<int> answer_{0};  // of the sender: 1 taken, 2 not now, 3 never
};

}  // namespace portbook
