#include "base/clock.h"

#include <fmt/format.h>
#include <time.h>

#include <array>
#include <charconv>
#include <chrono>

namespace portbook {

namespace {

uint64_t read_clock(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * kNsPerSecond + static_cast<uint64_t>(t.tv_nsec);
}

class SystemClock final : public Clock {
 public:
  TimeNs now() override { return read_clock(CLOCK_REALTIME); }
  uint64_t boot_ns() override { return read_clock(CLOCK_BOOTTIME); }
  uint64_t awake_ns() override { return read_clock(CLOCK_MONOTONIC); }
};

// Walks over a time text; every read returns false and leaves the place where it stopped.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  [[nodiscard]] bool done() const { return at_ == text_.size(); }
  [[nodiscard]] size_t at() const { return at_; }
  [[nodiscard]] char peek() const { return done() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool digits(size_t count, int& value) {
    if (at_ + count > text_.size()) return false;
    value = 0;
    for (size_t i = 0; i < count; ++i) {
      const char c = text_[at_ + i];
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
    }
    at_ += count;
    return true;
  }
  // A fraction of a second of 1 to 9 digits, in nanoseconds; `precision_ns` is its last digit's weight.
  bool fraction(uint64_t& ns, uint64_t& precision_ns) {
    ns = 0;
    precision_ns = kNsPerSecond;
    size_t count = 0;
    while (peek() >= '0' && peek() <= '9') {
      if (++count > 9) return false;
      precision_ns /= 10;
      ns += static_cast<uint64_t>(peek() - '0') * precision_ns;
      ++at_;
    }
    return count > 0;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

std::unexpected<Error> bad_time(std::string_view text, size_t at, std::string_view expected) {
  return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is not a time: expected {} at position {}", text, expected, at + 1));
}

// Reads hh:mm[:ss[.fraction]] into nanoseconds of the day.
bool read_clock_time(Cursor& cursor, uint64_t& ns_of_day, uint64_t& precision_ns, std::string_view& expected) {
  int hour = 0;
  int minute = 0;
  int second = 0;
  uint64_t fraction_ns = 0;
  precision_ns = 60 * kNsPerSecond;
  expected = "hh:mm (hours up to 23, minutes up to 59)";
  if (!cursor.digits(2, hour) || !cursor.take(':') || !cursor.digits(2, minute) || hour > 23 || minute > 59) return false;
  if (cursor.take(':')) {
    expected = "seconds up to 59";
    if (!cursor.digits(2, second) || second > 59) return false;
    precision_ns = kNsPerSecond;
    if (cursor.peek() == '.' || cursor.peek() == ',') {
      cursor.take(cursor.peek());
      expected = "1 to 9 digits of a second";
      if (!cursor.fraction(fraction_ns, precision_ns)) return false;
    }
  }
  ns_of_day = static_cast<uint64_t>(hour * 3600 + minute * 60 + second) * kNsPerSecond + fraction_ns;
  return true;
}

Result<WrittenTime> parse_epoch(std::string_view text) {
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  uint64_t value = 0;
  if (std::from_chars(whole.data(), whole.data() + whole.size(), value).ec != std::errc{}) {
    return bad_time(text, 0, "an epoch number below 2^64");
  }
  if (dot != std::string_view::npos) {
    if (whole.size() != 10) return bad_time(text, 0, "10 digits of epoch seconds before the point");
    Cursor cursor(text.substr(dot + 1));
    uint64_t ns = 0;
    uint64_t precision_ns = 0;
    if (!cursor.fraction(ns, precision_ns) || !cursor.done()) return bad_time(text, dot + 1, "1 to 9 digits of a second");
    return WrittenTime{value * kNsPerSecond + ns, precision_ns};
  }
  switch (whole.size()) {
    case 10: return WrittenTime{value * kNsPerSecond, kNsPerSecond};
    case 13: return WrittenTime{value * kNsPerMs, kNsPerMs};
    case 16: return WrittenTime{value * 1000, 1000};
    case 19: return WrittenTime{value, 1};
    default: return bad_time(text, 0, "an epoch number of 10, 13, 16 or 19 digits");
  }
}

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

std::string format_time(TimeNs time) {
  using namespace std::chrono;
  const auto seconds = time / kNsPerSecond;
  const sys_seconds moment{std::chrono::seconds(static_cast<int64_t>(seconds))};
  const auto day = floor<days>(moment);
  const year_month_day date{day};
  const auto of_day = static_cast<uint64_t>((moment - day).count());
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), of_day / 3600, of_day / 60 % 60,
                     of_day % 60, time % kNsPerSecond);
}

Result<WrittenTime> parse_time(std::string_view text, TimeNs now) {
  if (text == "now") return WrittenTime{now, 1};
  if (text.size() >= 10 && text.find_first_not_of("0123456789.") == std::string_view::npos) return parse_epoch(text);

  if (text.empty() || text[0] < '0' || text[0] > '9') {
    return fail(ErrorCode::kBadInput,
                fmt::format("\"{}\" is not a time; write {} (Z or an offset such as +02:00), 12:03:04 (today, "
                            "UTC), now, or seconds since 1970",
                            text, format_time(now).substr(0, 11) + "12:03:04Z"));
  }

  Cursor cursor(text);
  std::string_view expected;
  uint64_t ns_of_day = 0;
  uint64_t precision_ns = 0;
  uint64_t day_ns = now / (86'400 * kNsPerSecond) * (86'400 * kNsPerSecond);
  if (text.size() > 4 && text[4] == '-') {
    int year = 0;
    int month = 0;
    int day = 0;
    if (!cursor.digits(4, year) || !cursor.take('-') || !cursor.digits(2, month) || !cursor.take('-') || !cursor.digits(2, day)) {
      return bad_time(text, cursor.at(), "a date yyyy-mm-dd");
    }
    const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok() || year < 1970 || year > 2500) return bad_time(text, 0, "a date that exists, from 1970 to 2500");
    day_ns = static_cast<uint64_t>(std::chrono::sys_days(date).time_since_epoch().count()) * 86'400 * kNsPerSecond;
    if (cursor.done()) return WrittenTime{day_ns, 86'400 * kNsPerSecond};
    if (!cursor.take('T') && !cursor.take('t') && !cursor.take(' ')) return bad_time(text, cursor.at(), "T");
  }
  if (!read_clock_time(cursor, ns_of_day, precision_ns, expected)) return bad_time(text, cursor.at(), expected);
  const uint64_t local = day_ns + ns_of_day;
  if (cursor.done() || ((cursor.take('Z') || cursor.take('z')) && cursor.done())) return WrittenTime{local, precision_ns};
  const char sign = cursor.peek();
  int hours = 0;
  int minutes = 0;
  if ((sign != '+' && sign != '-') || !cursor.take(sign) || !cursor.digits(2, hours) || hours > 23) {
    return bad_time(text, cursor.at(), "Z or an offset such as +02:00");
  }
  cursor.take(':');
  if (!cursor.digits(2, minutes) || minutes > 59 || !cursor.done()) return bad_time(text, cursor.at(), "the minutes of an offset");
  const uint64_t offset_ns = static_cast<uint64_t>(hours * 3600 + minutes * 60) * kNsPerSecond;
  if (sign == '+' && offset_ns > local) return bad_time(text, 0, "a moment after 1970");
  return WrittenTime{sign == '+' ? local - offset_ns : local + offset_ns, precision_ns};
}

Result<uint64_t> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    uint64_t ns;
  };
  static constexpr std::array<Unit, 7> kUnits = {{{"ms", kNsPerMs},
                                                  {"us", 1000},
                                                  {"ns", 1},
                                                  {"d", 86'400 * kNsPerSecond},
                                                  {"h", 3600 * kNsPerSecond},
                                                  {"m", 60 * kNsPerSecond},
                                                  {"s", kNsPerSecond}}};
  const auto bad = [&](size_t at) {
    return fail(
        ErrorCode::kBadInput,
        fmt::format("\"{}\" is not a duration: expected a number with d, h, m, s, ms, us or ns at position {}", text, at + 1));
  };
  uint64_t total = 0;
  size_t at = 0;
  if (text.empty()) return bad(0);
  while (at < text.size()) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
    if (error != std::errc{}) return bad(at);
    at = static_cast<size_t>(end - text.data());
    const Unit* found = nullptr;
    for (const Unit& unit : kUnits) {
      if (found == nullptr && text.substr(at).starts_with(unit.name)) found = &unit;
    }
    if (found == nullptr) return bad(at);
    at += found->name.size();
    if (value > UINT64_MAX / found->ns || total > UINT64_MAX - value * found->ns) return bad(0);
    total += value * found->ns;
  }
  return total;
}

}  // namespace portbook
