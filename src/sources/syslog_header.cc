#include "sources/syslog_header.h"

#include <fmt/format.h>

#include <string>

#include "sources/calendar.h"

namespace portbook {

namespace {

constexpr size_t kBsdTimeBytes = 15;
constexpr size_t kYearTimeBytes = 20;  // "Nov 23 2026 12:31:46"
constexpr size_t kIsoTimeBytesMin = 20;
constexpr size_t kPriorityDigitsMax = 3;
constexpr uint64_t kPriorityMax = 191;  // facility 23, severity 7

// The same with a year, as some devices write it.
std::optional<TimeNs> parse_year_time(std::string_view text, const LineOrigin& origin) {
  if (text[3] != ' ' || text[6] != ' ' || text[11] != ' ') return std::nullopt;
  const std::string day = text[4] == ' ' ? fmt::format("0{}", text[5]) : std::string(text.substr(4, 2));
  return parse_clf_time(fmt::format("{}/{}/{}:{}", day, text.substr(0, 3), text.substr(7, 4), text.substr(12)), origin);
}

std::optional<TimeNs> take_time(std::string_view& rest, const LineOrigin& origin) {
  if (rest.size() > kBsdTimeBytes && rest[kBsdTimeBytes] == ' ') {
    if (const auto time = parse_bsd_time(rest.substr(0, kBsdTimeBytes), origin)) {
      rest.remove_prefix(kBsdTimeBytes + 1);
      return time;
    }
  }
  if (rest.size() > kYearTimeBytes && rest[kYearTimeBytes] == ' ') {
    if (const auto time = parse_year_time(rest.substr(0, kYearTimeBytes), origin)) {
      rest.remove_prefix(kYearTimeBytes + 1);
      return time;
    }
  }
  const size_t end = rest.find(' ');
  // A zone must be named: parse_time takes what has none as UTC.
  if (end == std::string_view::npos || end < kIsoTimeBytesMin || rest[10] != 'T') return std::nullopt;
  const std::string_view text = rest.substr(0, end);
  if (text.back() != 'Z' && text[end - 6] != '+' && text[end - 6] != '-') return std::nullopt;
  const auto written = parse_time(text, origin.read);
  if (!written) return std::nullopt;
  rest.remove_prefix(end + 1);
  return written->time;
}

// "-" or `[id name="value" …]…`, in whose values quotes, brackets and backslashes have a backslash before them (RFC 5424, 6.3).
bool skip_structured_data(std::string_view& rest) {
  if (rest.starts_with('-')) {
    rest.remove_prefix(1);
    return true;
  }
  if (!rest.starts_with('[')) return false;
  while (rest.starts_with('[')) {
    bool quoted = false;
    size_t at = 1;
    for (; at < rest.size() && (quoted || rest[at] != ']'); ++at) {
      if (quoted && rest[at] == '\\') {
        ++at;
      } else if (rest[at] == '"') {
        quoted = !quoted;
      }
    }
    if (at >= rest.size()) return false;
    rest.remove_prefix(at + 1);
  }
  return true;
}

// What follows "<134>1 ". False where it is none.
bool take_rfc5424(std::string_view rest, const LineOrigin& origin, SyslogHeader& header) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  LineScan scan(rest);
  if (scan.skip("- ")) {
    rest = scan.rest();
  } else {
    header.time = take_time(rest, origin);
    if (!header.time) return false;
  }
  scan = LineScan(rest);
  if (!scan.take(' ', header.host) || !scan.take(' ', header.app) || !scan.take(' ', header.pid) ||
      !scan.take(' ', header.message_id))
    return false;
  for (std::string_view* part : {&header.host, &header.app, &header.pid, &header.message_id}) {
    if (*part == "-") *part = {};
  }
  rest = scan.rest();
  const std::string_view structured = rest;
  if (!skip_structured_data(rest) || !(rest.empty() || rest.starts_with(' '))) return false;
  if (structured.front() == '[') header.structured = structured.substr(0, structured.size() - rest.size());
  if (!rest.empty()) rest.remove_prefix(1);
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  header.message = rest;
  return true;
}

// "haproxy[316]:" or "haproxy:"
bool take_tag(std::string_view word, SyslogHeader& header) {
  if (!word.ends_with(':')) return false;
  word.remove_suffix(1);
  const size_t bracket = word.find('[');
  if (bracket != std::string_view::npos) {
    if (!word.ends_with(']')) return false;
    header.pid = word.substr(bracket + 1, word.size() - bracket - 2);
    uint64_t pid = 0;
    if (!parse_count(header.pid, pid)) return false;
  }
  header.app = word.substr(0, bracket);
  return !header.app.empty();
}

}  // namespace

SyslogHeader parse_syslog_header(std::string_view line, const LineOrigin& origin) {
  const SyslogHeader none{std::nullopt, {}, {}, {}, std::nullopt, line};
  std::string_view rest = line;
  SyslogHeader header;
  if (rest.starts_with('<')) {
    const size_t end = rest.find('>');
    uint64_t priority = 0;
    if (end == std::string_view::npos || end > kPriorityDigitsMax + 1 || !parse_count(rest.substr(1, end - 1), priority) ||
        priority > kPriorityMax)
      return none;
    header.priority = static_cast<uint8_t>(priority);
    rest.remove_prefix(end + 1);
    if (rest.starts_with("1 ")) return take_rfc5424(rest.substr(2), origin, header) ? header : none;
  }
  header.zone_assumed = !rest.empty() && (rest.front() < '0' || rest.front() > '9');
  header.time = take_time(rest, origin);
  if (!header.time) return none;
  LineScan scan(rest);
  std::string_view word;
  if (!scan.take(' ', word)) return none;
  if (!take_tag(word, header)) {
    header.host = word;
    if (!scan.take(' ', word) || !take_tag(word, header)) return none;
  }
  header.message = scan.rest();
  return header;
}

}  // namespace portbook
