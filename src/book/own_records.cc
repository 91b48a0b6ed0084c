#include "book/own_records.h"

#include <sys/timex.h>

#include <utility>

namespace portbook {

ClockState machine_clock_state() {
  timex about{};
  const int state = adjtimex(&about);
  return state >= 0 && state != TIME_ERROR && (about.status & STA_UNSYNC) == 0 ? ClockState::kSynchronised
                                                                               : ClockState::kNotSynchronised;
}

OwnRecords::OwnRecords(std::string host, Clock& clock, std::function<ClockState()> clock_state)
    : host_(std::move(host)), source_(host_ + "/book"), clock_(clock), clock_state_(std::move(clock_state)) {}

Record OwnRecords::made(Kind kind) const {
  Record record;
  record.set(Field::kKind, kind);
  record.set(Field::kTime, clock_.now());
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kSource, std::string_view(source_));
  if (!host_.empty()) record.set(Field::kHost, std::string_view(host_));
  record.set(Field::kClockState, clock_state_());
  return record;
}

Record OwnRecords::admin(std::string_view action, std::string_view message) const {
  Record record = made(Kind::kAdmin);
  record.set(Field::kAction, action);
  record.set(Field::kMessage, message);
  return record;
}

Record OwnRecords::batch(const Accepted& accepted) const {
  Record record = made(Kind::kBatch);
  record.set(Field::kReceived, record.time());
  record.set(Field::kAbout, accepted.source);
  record.set(Field::kFirstIndex, accepted.first_index);
  record.set(Field::kCount, accepted.count);
  record.set(Field::kSeqFirst, accepted.seq_first);
  record.set(Field::kSeqLast, accepted.seq_last);
  return record;
}

}  // namespace portbook
