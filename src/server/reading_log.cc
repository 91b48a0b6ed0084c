#include "server/reading_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "book/own_records.h"

namespace portbook {

ReadingLog::ReadingLog(Book& book, Clock& clock, std::string host)
    : book_(book), clock_(clock), host_(std::move(host)), source_(host_ + "/questions") {}

bool ReadingLog::is_new(const std::string& key, uint64_t now_ns) {
  const auto known = asked_.find(key);
  const bool is_new = known == asked_.end() || now_ns - known->second > kSessionNs;
  if (known == asked_.end() && asked_.size() >= kQuestionsMax) {
    asked_.erase(std::ranges::min_element(asked_, {}, [](const auto& one) { return one.second; }));
  }
  asked_[key] = now_ns;
  return is_new;
}

void ReadingLog::note(const Caller& caller, std::string_view what, std::string_view question) {
  const std::lock_guard lock(mutex_);
  if (!is_new(fmt::format("{} {} {}", caller_name(caller), what, question), clock_.boot_ns()) || book_.read_only_reason()) return;
  write(caller, "read", fmt::format("{} {}", what, question));
}

void ReadingLog::note_change(const Caller& caller, std::string_view action, std::string_view message) {
  const std::lock_guard lock(mutex_);
  if (!book_.read_only_reason()) write(caller, action, message);
}

void ReadingLog::write(const Caller& caller, std::string_view action, std::string_view message) {
  Record record;
  record.set(Field::kKind, Kind::kAdmin);
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kTime, clock_.now());
  record.set(Field::kClockState, machine_clock_state());
  record.set(Field::kHost, host_);
  record.set(Field::kAction, action);
  record.set(Field::kMessage, message);
  if (!caller.remote) record.set(Field::kUid, uint64_t{caller.uid});
  record.set(Field::kPrincipal, caller_name(caller));
  // After a batch that was not taken the book knows best where the sequence goes on.
  if (next_seq_ == 0 || failed_->exchange(false)) next_seq_ = book_.last_seq(source_) + 1;
  BatchBuilder builder(source_, next_seq_++);
  builder.add(record);
  book_.submit(builder.take(), [failed = failed_](const Result<Receipt>& receipt) {
    if (!receipt) *failed = true;
  });
}

}  // namespace portbook
