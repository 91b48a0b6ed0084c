#include "query/moment.h"

#include <fmt/format.h>

namespace portbook {

namespace {

constexpr size_t kDateLength = 10;  // of "2026-11-22T12:03:04.123456789Z"
constexpr size_t kClockAt = 11;

std::string clock_part(const std::string& whole, uint64_t precision_ns) {
  return whole.substr(kClockAt, precision_ns >= kNsPerSecond ? 8 : precision_ns >= kNsPerMs ? 12 : 18);
}

}  // namespace

std::string moment_text(TimeNs time, uint64_t precision_ns) {
  const std::string whole = format_time(time);
  return fmt::format("{} {} UTC", whole.substr(0, kDateLength), clock_part(whole, precision_ns));
}

std::string interval_text(const std::optional<TimeNs>& start, const std::optional<TimeNs>& end, std::string_view no_start,
                          std::string_view no_end) {
  const std::string from = start ? moment_text(*start, kNsPerMs) : std::string(no_start);
  if (!end) return fmt::format("{} – {}", from, no_end);
  const std::string to = moment_text(*end, kNsPerMs);
  if (!start) return fmt::format("{} – {}", from, to);
  const bool same_day = from.starts_with(to.substr(0, kDateLength));
  return fmt::format("{} – {}", from.substr(0, from.size() - 4), same_day ? to.substr(kClockAt) : to);
}

std::string distance_text(uint64_t ns) {
  if (ns >= 2 * 86'400 * kNsPerSecond) return fmt::format("{} d", ns / (86'400 * kNsPerSecond));
  if (ns >= 2 * 3600 * kNsPerSecond) return fmt::format("{} h", ns / (3600 * kNsPerSecond));
  if (ns >= 2 * 60 * kNsPerSecond) return fmt::format("{} min", ns / (60 * kNsPerSecond));
  if (ns >= kNsPerSecond) return fmt::format("{:.1f} s", static_cast<double>(ns) / 1e9);
  return fmt::format("{:.3f} ms", static_cast<double>(ns) / 1e6);
}

}  // namespace portbook
