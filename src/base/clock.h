// Time is passed in: everything that needs the present moment takes a Clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace portbook {

// Nanoseconds since 1970-01-01T00:00:00 UTC, without leap seconds.
using TimeNs = uint64_t;

inline constexpr uint64_t kNsPerSecond = 1'000'000'000;
inline constexpr uint64_t kNsPerMs = 1'000'000;

// Where the present comes from. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall-clock time. May step.
  virtual TimeNs now() = 0;
  // Never steps, counts through suspend, no fixed origin (CLOCK_BOOTTIME).
  virtual uint64_t boot_ns() = 0;
  // As boot_ns(), but stands still while the machine is suspended (CLOCK_MONOTONIC); the difference between both is the time
  // asleep.
  virtual uint64_t awake_ns() { return boot_ns(); }
};

// The machine's clock; lives for the whole program.
Clock& system_clock();

// "2026-11-22T12:03:04.123456789Z", always nine digits.
std::string format_time(TimeNs time);

// A moment as somebody wrote it, and how long the written unit is: "12:03:04" is that whole second.
struct WrittenTime {
  TimeNs time = 0;
  uint64_t precision_ns = 1;  // the written moment is in [time, time + precision_ns)
};

// Reads RFC 3339 times ("2026-11-22T12:03:04.123Z", offset allowed; blank for T; zone missing means UTC; minutes or seconds may be
// missing), a time of today ("12:03", "12:03:04.5", relative to `now`), "now", and epoch numbers (10, 13, 16 or 19 digits; seconds
// may carry a fraction). Errors: kBadInput, naming what was wrong and where.
Result<WrittenTime> parse_time(std::string_view text, TimeNs now);

// Reads "15m", "1h30m", "2d", "250ms", "10us"; nanoseconds. Errors: kBadInput.
Result<uint64_t> parse_duration(std::string_view text);

}  // namespace portbook
