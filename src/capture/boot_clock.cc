#include "capture/boot_clock.h"

#include <sys/timex.h>

#include <algorithm>

#include "base/check.h"

namespace portbook {

namespace {

// Steps remembered; a clock that is set more often loses the oldest.
constexpr size_t kSpansMax = 1000;
constexpr int kBrackets = 5;
constexpr uint64_t kErrorStepNs = 10'000;
// Reading a clock is uncertain by this much even when the bracket happens to be narrower.
constexpr uint64_t kReadingJitterNs = 1000;

struct Sample {
  uint64_t before_boot_ns;
  uint64_t boot_ns;
  uint64_t offset_ns;
  uint64_t half_bracket_ns;
};

Sample take_sample(Clock& clock) {
  Sample best{0, 0, 0, UINT64_MAX};
  for (int i = 0; i < kBrackets; ++i) {
    const uint64_t before = clock.boot_ns();
    const TimeNs now = clock.now();
    const uint64_t after = clock.boot_ns();
    const uint64_t half = (after - before) / 2;
    if (half < best.half_bracket_ns) best = {before, after, now - (before + half), half};
  }
  return best;
}

}  // namespace

ClockDiscipline read_clock_discipline() {
  timex state{};
  const int verdict = adjtimex(&state);
  if (verdict < 0 || verdict == TIME_ERROR || (state.status & STA_UNSYNC) != 0) return {};
  return {true, static_cast<uint64_t>(state.maxerror) * 1000};
}

std::optional<BootClock::Change> BootClock::sample(const ClockDiscipline& discipline) {
  const Sample sample = take_sample(clock_);
  Change change;
  if (spans_.empty()) {
    spans_.push_back({0, sample.offset_ns, 0, 0});
    looked_at_ = sample.boot_ns;
    bracket_ns_ = sample.half_bracket_ns;
    discipline_ = discipline;
    return std::nullopt;
  }
  const int64_t difference = static_cast<int64_t>(sample.offset_ns - spans_.back().offset_ns);
  const uint64_t distance = static_cast<uint64_t>(difference < 0 ? -difference : difference);
  if (distance > sample.half_bracket_ns + bracket_ns_ + kReadingJitterNs) {
    change.step_ns = difference;
    if (spans_.size() == kSpansMax) spans_.erase(spans_.begin());
    spans_.push_back({sample.boot_ns, sample.offset_ns, looked_at_, distance});
    bracket_ns_ = sample.half_bracket_ns;
  }
  looked_at_ = sample.before_boot_ns;
  change.state_changed = discipline.synchronised != discipline_.synchronised;
  discipline_ = discipline;
  if (change.step_ns == 0 && !change.state_changed) return std::nullopt;
  return change;
}

uint64_t BootClock::error_ns() const {
  const uint64_t error = discipline_.error_ns + bracket_ns_;
  return (error + kErrorStepNs - 1) / kErrorStepNs * kErrorStepNs;
}

void BootClock::put_quality(Record& record) const {
  if (discipline_.synchronised) {
    record.set(Field::kClockError, error_ns());
  } else {
    record.set(Field::kClockState, ClockState::kNotSynchronised);
  }
}

void BootClock::put_quality(Record& record, uint64_t boot_ns) const {
  put_quality(record);
  if (!discipline_.synchronised) return;
  const auto unsure = std::ranges::find_if(spans_, [&](const Span& span) {
    return span.unsure_from_boot_ns <= boot_ns && boot_ns < span.from_boot_ns && span.step_ns != 0;
  });
  if (unsure != spans_.end())
    record.set(Field::kClockError, error_ns() + (unsure->step_ns + kErrorStepNs - 1) / kErrorStepNs * kErrorStepNs);
}

bool BootClock::was_set() {
  PB_CHECK(!spans_.empty());
  const uint64_t before = clock_.boot_ns();
  const TimeNs now = clock_.now();
  const uint64_t half = (clock_.boot_ns() - before) / 2;
  const int64_t difference = static_cast<int64_t>(now - (before + half) - spans_.back().offset_ns);
  const uint64_t distance = static_cast<uint64_t>(difference < 0 ? -difference : difference);
  if (distance > half + bracket_ns_ + kReadingJitterNs) return true;
  looked_at_ = before;
  return false;
}

const BootClock::Span& BootClock::span_at(uint64_t boot_ns) const {
  PB_CHECK(!spans_.empty());
  const auto after =
      std::upper_bound(spans_.begin(), spans_.end(), boot_ns, [](uint64_t at, const Span& span) { return at < span.from_boot_ns; });
  return after == spans_.begin() ? spans_.front() : *(after - 1);
}

TimeNs BootClock::utc(uint64_t boot_ns) const {
  return boot_ns + span_at(boot_ns).offset_ns;
}

void BootClock::put_state(const Change& change, Record& record) const {
  record.clear();
  record.set(Field::kKind, Kind::kClock);
  record.set(Field::kTime, utc(clock_.boot_ns()));
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kClockState, synchronised() ? ClockState::kSynchronised : ClockState::kNotSynchronised);
  if (synchronised()) record.set(Field::kClockError, error_ns());
  if (change.step_ns != 0) record.set_signed(Field::kClockStep, change.step_ns);
}

}  // namespace portbook
