// Moments and intervals as sentences name them: always with their date, always UTC.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"

namespace portbook {

// "2026-11-22 12:03:04 UTC"; milliseconds or nanoseconds follow where `precision_ns` is that fine.
std::string moment_text(TimeNs time, uint64_t precision_ns = kNsPerSecond);

// "2026-11-22 12:03:01.992 – 12:05:02.110 UTC"; the date is said again where it changes. Absent ends read as given.
std::string interval_text(const std::optional<TimeNs>& start, const std::optional<TimeNs>& end,
                          std::string_view no_start = "before capture began", std::string_view no_end = "still open");

// "2 h", "3 min", "1.5 s", "0.250 ms": how far apart two moments are.
std::string distance_text(uint64_t ns);

}  // namespace portbook
