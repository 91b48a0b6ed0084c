#include "query/paste_time.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <string>
#include <vector>

namespace portbook {

namespace {

constexpr auto kMonths =
    std::to_array<std::string_view>({"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"});

int month_number(std::string_view name) {
  const auto found = std::ranges::find(kMonths, name);
  return found == kMonths.end() ? 0 : static_cast<int>(found - kMonths.begin()) + 1;
}

std::string_view view_of(const re2::StringPiece& piece) {
  return {piece.data(), piece.size()};
}

// One way of writing times: a pattern, and how its groups make a text that parse_time() reads.
struct TimeForm {
  const char* pattern;
  std::string (*rewrite)(const std::vector<re2::StringPiece>& groups, TimeNs now);
};

std::string_view year_of(const std::string& time) {
  return std::string_view(time).substr(0, 4);
}

// Names of zones that RFC 5322 section 4.3 fixes, and the central European ones; other names are not guessed at.
struct Zone {
  std::string_view name;
  std::string_view offset;
};
constexpr auto kZones = std::to_array<Zone>({{"UTC", "Z"},
                                             {"GMT", "Z"},
                                             {"UT", "Z"},
                                             {"EST", "-05:00"},
                                             {"EDT", "-04:00"},
                                             {"CST", "-06:00"},
                                             {"CDT", "-05:00"},
                                             {"MST", "-07:00"},
                                             {"MDT", "-06:00"},
                                             {"PST", "-08:00"},
                                             {"PDT", "-07:00"},
                                             {"CET", "+01:00"},
                                             {"CEST", "+02:00"}});
#define PORTBOOK_ZONE "(Z|UTC|GMT|UT|EST|EDT|CST|CDT|MST|MDT|PST|PDT|CEST|CET|[+-]\\d\\d:?\\d\\d)"

std::string zone_of(std::string_view zone) {
  const auto named = std::ranges::find(kZones, zone, &Zone::name);
  if (named != kZones.end()) return std::string(named->offset);
  return zone.empty() ? "Z" : std::string(zone);
}

std::string iso(const std::vector<re2::StringPiece>& g, TimeNs) {
  return fmt::format("{}T{}{}", view_of(g[1]), view_of(g[2]), zone_of(view_of(g[3])));
}
std::string nginx_error(const std::vector<re2::StringPiece>& g, TimeNs) {
  return fmt::format("{}-{}-{}T{}Z", view_of(g[1]), view_of(g[2]), view_of(g[3]), view_of(g[4]));
}
std::string access_log(const std::vector<re2::StringPiece>& g, TimeNs) {
  return fmt::format("{}-{:02}-{}T{}{}", view_of(g[3]), month_number(view_of(g[2])), view_of(g[1]), view_of(g[4]),
                     zone_of(view_of(g[5])));
}
// "20261122T120304Z"
std::string iso_basic(const std::vector<re2::StringPiece>& g, TimeNs) {
  return fmt::format("{}-{}-{}T{}:{}:{}{}", view_of(g[1]), view_of(g[2]), view_of(g[3]), view_of(g[4]), view_of(g[5]),
                     view_of(g[6]), zone_of(view_of(g[7])));
}
// "Nov 22 12:03:04 2026", as ctime() and Apache's error log write it
std::string with_year_last(const std::vector<re2::StringPiece>& g, TimeNs) {
  return fmt::format("{}-{:02}-{:0>2}T{}{}", view_of(g[4]), month_number(view_of(g[1])), view_of(g[2]), view_of(g[3]),
                     zone_of(view_of(g[5])));
}
// "22 Nov 2026 12:03:04 +0000", as mail writes it
std::string day_first(const std::vector<re2::StringPiece>& g, TimeNs) {
  return fmt::format("{}-{:02}-{:0>2}T{}{}", view_of(g[3]), month_number(view_of(g[2])), view_of(g[1]), view_of(g[4]),
                     zone_of(view_of(g[5])));
}
// No year is written: the latest such moment that is not clearly in the future.
std::string syslog(const std::vector<re2::StringPiece>& g, TimeNs now) {
  int day = 0;
  std::from_chars(g[2].data(), g[2].data() + g[2].size(), day);
  int year = 0;
  const std::string present = format_time(now);
  std::from_chars(present.data(), present.data() + year_of(present).size(), year);
  const auto in_year = [&](int y) {
    return fmt::format("{:04}-{:02}-{:02}T{}Z", y, month_number(view_of(g[1])), day, view_of(g[3]));
  };
  const auto moment = parse_time(in_year(year), now);
  constexpr uint64_t kDayNs = 86'400 * kNsPerSecond;
  return in_year(moment && moment->time > now + kDayNs ? year - 1 : year);
}
std::string as_written(const std::vector<re2::StringPiece>& g, TimeNs) {
  return std::string(view_of(g[1]));
}

// In the order in which they are tried; the first group set is the whole time where as_written is used.
constexpr auto kTimeForms = std::to_array<TimeForm>({
    {R"((\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?) ?(?:)" PORTBOOK_ZONE R"(\b)?)", iso},
    {R"(\b(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d(?:\.\d{1,9})?)(?:)" PORTBOOK_ZONE R"(\b)?)", iso_basic},
    {R"((\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,9})?))", nginx_error},
    {R"((\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?: ([+-]\d{4}))?)", access_log},
    {R"(\b([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d(?:\.\d{1,9})?) (\d{4})\b ?(?:)" PORTBOOK_ZONE R"(\b)?)", with_year_last},
    {R"(\b(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d:\d\d:\d\d(?:\.\d{1,9})?) ?(?:)" PORTBOOK_ZONE R"(\b)?)", day_first},
    {R"(\b([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d(?:\.\d{1,9})?))", syslog},
    {R"(\b(1\d{9}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?)\b)", as_written},
    {R"re((?:^|[\s\[(@=,"])(\d\d:\d\d:\d\d(?:[.,]\d{1,9})?Z?)(?:$|[\s\])",;]))re", as_written},
});

// A flow log names its interval by two epoch numbers: the flow was there at some moment of it.
std::optional<FoundTime> find_flow_interval(std::string_view text, TimeNs now) {
  static const re2::RE2 kPattern(R"(\b(1\d{9})[ ,\t](1\d{9})[ ,\t](?:ACCEPT|REJECT)\b)");
  re2::StringPiece first;
  re2::StringPiece last;
  if (!re2::RE2::PartialMatch({text.data(), text.size()}, kPattern, &first, &last)) return std::nullopt;
  const auto from = parse_time(view_of(first), now);
  const auto to = parse_time(view_of(last), now);
  if (!from || !to || to->time < from->time) return std::nullopt;
  const auto start = static_cast<size_t>(first.data() - text.data());
  const size_t end = static_cast<size_t>(last.data() - text.data()) + last.size();
  return FoundTime{start, end, {from->time, to->time + to->precision_ns - from->time}};
}

}  // namespace

std::optional<FoundTime> find_time(std::string_view text, TimeNs now) {
  if (auto flow = find_flow_interval(text, now)) return flow;
  static const auto kPatterns = [] {
    std::vector<std::unique_ptr<re2::RE2>> patterns;
    for (const TimeForm& form : kTimeForms) patterns.push_back(std::make_unique<re2::RE2>(form.pattern));
    return patterns;
  }();
  const re2::StringPiece whole(text.data(), text.size());
  for (size_t form = 0; form < kTimeForms.size(); ++form) {
    const re2::RE2& pattern = *kPatterns[form];
    std::vector<re2::StringPiece> groups(static_cast<size_t>(pattern.NumberOfCapturingGroups()) + 1);
    size_t from = 0;
    while (pattern.Match(whole, from, whole.size(), re2::RE2::UNANCHORED, groups.data(), static_cast<int>(groups.size()))) {
      const bool part = kTimeForms[form].rewrite == as_written;
      const re2::StringPiece& piece = groups[part ? 1 : 0];
      const auto start = static_cast<size_t>(piece.data() - text.data());
      auto time = parse_time(kTimeForms[form].rewrite(groups, now), now);
      std::string_view matched = view_of(piece);
      while (matched.ends_with(' ')) matched.remove_suffix(1);
      if (time) return FoundTime{start, start + matched.size(), *time};
      from = start + 1;
    }
  }
  return std::nullopt;
}

}  // namespace portbook
