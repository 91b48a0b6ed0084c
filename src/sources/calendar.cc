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
  const int64_t seconds = days * 86'400 + static_cast<int64_t>(civil.second_of_day) - int64_t{origin.zone_minutes} * 60;
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

}  // namespace portbook
