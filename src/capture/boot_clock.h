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

  // Needs one sample() before. Moments before the first sample are converted with the first offset.
  [[nodiscard]] TimeNs utc(uint64_t boot_ns) const;
  [[nodiscard]] bool synchronised() const { return discipline_.synchronised; }
  // The clock's own bound and that of reading it, rounded up to 10 us (it is compressed by the million); where synchronised.
  [[nodiscard]] uint64_t error_ns() const;
  // Sets clock_error, or clock_state where the clock is not synchronised.
  void put_quality(Record& record) const;
  [[nodiscard]] uint64_t boot_now() { return clock_.boot_ns(); }

 private:
  struct Span {
    uint64_t from_boot_ns;
    uint64_t offset_ns;  // UTC minus boot time
  };

  Clock& clock_;
  std::vector<Span> spans_;  // ascending, at most kSpansMax
  uint64_t bracket_ns_ = 0;
  ClockDiscipline discipline_;
};

}  // namespace portbook
