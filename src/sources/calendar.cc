#include "sources/calendar.h"

#include <array>
#include <chrono>

namespace portbook {

namespace {

using std::chrono::year;

constexpr auto kMonths =
    std::to_array<std::string_view>({"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"});
constexpr int kYearMax = 2200;  // its nanoseconds fit, with a duration of as many added

struct Civil {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  uint64_t second_of_day = 0;
  uint64_t ns = 0;
};

std::optional<unsigned> month_of(std::string_view name) {
  for (unsigned i = 0; i < kMonths.size(); ++i) {
    if (kMonths[i] == name) return i + 1;
  }
  return std::nullopt;
}

std::optional<uint64_t> two_digits(std::string_view text, uint64_t max) {
  uint64_t value = 0;
  if (text.size() != 2 || !parse_count(text, value) || value > max) return std::nullopt;
  return value;
}

// "12:31:46". A leap second counts as the next one.
std::optional<uint64_t> second_of_day(std::string_view text) {
  if (text.size() != 8 || text[2] != ':' || text[5] != ':') return std::nullopt;
  const auto hour = two_digits(text.substr(0, 2), 23);
  const auto minute = two_digits(text.substr(3, 2), 59);
  const auto second = two_digits(text.substr(6, 2), 60);
  if (!hour || !minute || !second) return std::nullopt;
  return (*hour * 60 + *minute) * 60 + *second;
}

std::optional<TimeNs> moment(const Civil& civil, const LineOrigin& origin) {
  const std::chrono::year_month_day date{year(civil.year), std::chrono::month(civil.month), std::chrono::day(civil.day)};
  if (!date.ok() || civil.year > kYearMax) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t local_seconds = days * 86'400 + static_cast<int64_t>(civil.second_of_day);
  const int64_t seconds = local_seconds - seconds_east(origin.zone, local_seconds, origin.read);
  if (seconds < 0) return std::nullopt;
  return static_cast<uint64_t>(seconds) * kNsPerSecond + civil.ns;
}

// Digits behind the point.
std::optional<uint64_t> fraction_ns(std::string_view digits) {
  uint64_t value = 0;
  if (digits.size() > 9 || !parse_count(digits, value)) return std::nullopt;
  for (size_t i = digits.size(); i < 9; ++i) value *= 10;
  return value;
}

}  // namespace

std::optional<TimeNs> parse_clf_time(std::string_view text, const LineOrigin& origin) {
  // dd/Mon/yyyy:hh:mm:ss
  if (text.size() < 20 || text[2] != '/' || text[6] != '/' || text[11] != ':') return std::nullopt;
  const auto day = two_digits(text.substr(0, 2), 31);
  const auto month = month_of(text.substr(3, 3));
  uint64_t year = 0;
  const auto second = second_of_day(text.substr(12, 8));
  if (!day || !month || !parse_count(text.substr(7, 4), year) || !second) return std::nullopt;
  Civil civil{static_cast<int>(year), *month, static_cast<unsigned>(*day), *second, 0};
  if (text.size() > 20) {
    const auto ns = text[20] == '.' ? fraction_ns(text.substr(21)) : std::nullopt;
    if (!ns) return std::nullopt;
    civil.ns = *ns;
  }
  return moment(civil, origin);
}

std::optional<TimeNs> parse_bsd_time(std::string_view text, const LineOrigin& origin) {
  // Mon dd hh:mm:ss, the day filled up with a blank
  if (text.size() != 15 || text[3] != ' ' || text[6] != ' ') return std::nullopt;
  const auto month = month_of(text.substr(0, 3));
  uint64_t day = 0;
  const auto second = second_of_day(text.substr(7, 8));
  if (!month || !parse_count(text.substr(text[4] == ' ' ? 5 : 4, text[4] == ' ' ? 1 : 2), day) || !second) return std::nullopt;
  const auto today = std::chrono::floor<std::chrono::days>(
      std::chrono::sys_seconds(std::chrono::seconds(origin.read / kNsPerSecond)) + std::chrono::days(1));
  const int latest = static_cast<int>(std::chrono::year_month_day(today).year());
  // 29 February may be eight years back.
  for (int candidate = latest; candidate >= latest - 8; --candidate) {
    const auto at = moment({candidate, *month, static_cast<unsigned>(day), *second, 0}, origin);
    if (at && *at <= origin.read + 86'400 * kNsPerSecond) return at;
  }
  return std::nullopt;
}

std::optional<TimeNs> parse_console_time(std::string_view text, const LineOrigin& origin) {
  // yyyy-mm-dd hh:mm:ss.mmm ZONE
  constexpr size_t kSecondsEnd = 19;
  if (text.size() < kSecondsEnd + 2 || text[4] != '-' || text[7] != '-' || text[10] != ' ') return std::nullopt;
  uint64_t year = 0;
  const auto month = two_digits(text.substr(5, 2), 12);
  const auto day = two_digits(text.substr(8, 2), 31);
  const auto second = second_of_day(text.substr(11, 8));
  if (!parse_count(text.substr(0, 4), year) || !month || !day || !second) return std::nullopt;
  Civil civil{static_cast<int>(year), static_cast<unsigned>(*month), static_cast<unsigned>(*day), *second, 0};
  std::string_view rest = text.substr(kSecondsEnd);
  const size_t blank = rest.find(' ');
  if (blank == std::string_view::npos || blank + 1 == rest.size()) return std::nullopt;
  if (blank > 0) {
    const auto ns = rest.front() == '.' ? fraction_ns(rest.substr(1, blank - 1)) : std::nullopt;
    if (!ns) return std::nullopt;
    civil.ns = *ns;
  }
  const std::string_view zone = rest.substr(blank + 1);
  LineOrigin in_zone = origin;
  if (zone == "UTC" || zone == "GMT") {
    in_zone.zone = {};
  } else if (zone.front() == '+' || zone.front() == '-') {
    const auto hours = two_digits(zone.substr(1), 14);
    if (!hours) return std::nullopt;
    in_zone.zone = {.minutes_east = static_cast<int32_t>(*hours) * (zone.front() == '-' ? -60 : 60)};
  }
  return moment(civil, in_zone);
}

std::optional<TimeNs> parse_epoch_ms(std::string_view text) {
  constexpr uint64_t kSecondsMax = 8'796'093'022;  // some 280 years
  const size_t point = text.find('.');
  uint64_t seconds = 0;
  uint64_t ms = 0;
  if (point == std::string_view::npos || text.size() - point != 4 || !parse_count(text.substr(0, point), seconds) ||
      !parse_count(text.substr(point + 1), ms) || seconds > kSecondsMax)
    return std::nullopt;
  return seconds * kNsPerSecond + ms * kNsPerMs;
}

}  // namespace portbook
