// From the kernel's boot time to UTC: the offset between both clocks is sampled, and its history kept, so that an event is
// converted with the offset of its own moment also when the clock was set in between.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "record/record.h"

namespace portbook {

// What the kernel believes about its own clock (adjtimex).
struct ClockDiscipline {
  bool synchronised = false;
  uint64_t error_ns = 0;  // bound on the error, where synchronised

  bool operator==(const ClockDiscipline&) const = default;
};
ClockDiscipline read_clock_discipline();

// Owned by one thread.
class BootClock {
 public:
  explicit BootClock(Clock& clock) : clock_(clock) {}

  struct Change {
    int64_t step_ns = 0;         // positive: the clock was set forward
    bool state_changed = false;  // synchronised or no longer
  };
  // Samples the offset by bracketed reads. Returns what changed since the sample before; nothing when nothing did.
  // A difference within the brackets of both samples is jitter of reading, not a change: the offset stays the same number.
  std::optional<Change> sample(const ClockDiscipline& discipline);

  // One cheap look at the offset, as often as wanted: whether the clock was set since the last one. Nothing else is learnt;
  // sample() then says what happened. A step is known to lie between two looks.
  [[nodiscard]] bool was_set();

  // Needs one sample() before. Moments before the first sample are converted with the first offset.
  [[nodiscard]] TimeNs utc(uint64_t boot_ns) const;
  [[nodiscard]] bool synchronised() const { return discipline_.synchronised; }
  // The clock's own bound and that of reading it, rounded up to 10 us (it is compressed by the million); where synchronised.
  [[nodiscard]] uint64_t error_ns() const;
  // Sets clock_error, or clock_state where the clock is not synchronised.
  void put_quality(Record& record) const;
  // For a record of that moment. Between the last look at the old offset and the first at the new one nobody knows which held: the
  // bound then spans the step.
  void put_quality(Record& record, uint64_t boot_ns) const;
  // Fills a `clock` record that says how the clock is, and by how much it was set.
  void put_state(const Change& change, Record& record) const;
  [[nodiscard]] uint64_t boot_now() { return clock_.boot_ns(); }

 private:
  struct Span {
    uint64_t from_boot_ns;
    uint64_t offset_ns;            // UTC minus boot time
    uint64_t unsure_from_boot_ns;  // the old offset was last seen
    uint64_t step_ns;              // how far apart both are
  };

  [[nodiscard]] const Span& span_at(uint64_t boot_ns) const;

  Clock& clock_;
  std::vector<Span> spans_;  // ascending, at most kSpansMax
  uint64_t bracket_ns_ = 0;
  uint64_t looked_at_ = 0;  // the newest span's offset held then
  ClockDiscipline discipline_;
};

}  // namespace portbook
