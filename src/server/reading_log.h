// Who read what: an admin record for each question of each session.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "book/book.h"
#include "server/caller.h"

namespace portbook {

// Thread-safe. A session is one user's use of one question without a pause of kSessionNs: polling it again is not written again.
class ReadingLog {
 public:
  static constexpr uint64_t kSessionNs = 3600 * kNsPerSecond;
  static constexpr size_t kQuestionsMax = 4096;  // remembered; beyond it the oldest is forgotten, and would be written again

  // The source of its records is "HOST/questions".
  ReadingLog(Book& book, Clock& clock, std::string host);

  // `what` is the command ("search", "who"), `question` what was asked. A book that refuses writes gets no record.
  void note(const Caller& caller, std::string_view what, std::string_view question);
  // Who changed who may read: each time, as it is.
  void note_change(const Caller& caller, std::string_view action, std::string_view message);

 private:
  void write(const Caller& caller, std::string_view action, std::string_view message);  // with mutex_ held
  bool is_new(const std::string& key, uint64_t now_ns);

  Book& book_;
  Clock& clock_;
  std::string host_;
  std::string source_;
  std::mutex mutex_;
  std::map<std::string, uint64_t> asked_;  // question → boot time of its last use; guarded by mutex_
  uint64_t next_seq_ = 0;                  // 0: ask the book; guarded by mutex_
  // Shared: the book answers for the last batches when this object may be gone.
  std::shared_ptr<std::atomic<bool>> failed_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace portbook
