#include "query/paste.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

namespace portbook {

namespace {

constexpr auto kMonths =
    std::to_array<std::string_view>({"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"});

int month_number(std::string_view name) {
  const auto found = std::ranges::find(kMonths, name);
  return found == kMonths.end() ? 0 : static_cast<int>(found - kMonths.begin()) + 1;
}

struct FoundTime {
  size_t start = 0;
  size_t end = 0;
  WrittenTime time;
};

struct FoundEndpoint {
  size_t start = 0;
  size_t end = 0;
  Endpoint endpoint;
};

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

std::string zone_of(std::string_view zone) {
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
    {R"((\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?) ?(Z|[+-]\d\d:?\d\d)?)", iso},
    {R"((\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,9})?))", nginx_error},
    {R"((\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?: ([+-]\d{4}))?)", access_log},
    {R"(\b([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d(?:\.\d{1,9})?))", syslog},
    {R"(\b(1\d{9}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?)\b)", as_written},
    {R"re((?:^|[\s\[(@=,"])(\d\d:\d\d:\d\d(?:[.,]\d{1,9})?Z?)(?:$|[\s\])",;]))re", as_written},
});

std::optional<FoundTime> find_time(std::string_view text, TimeNs now) {
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

bool in_address(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Reads digits at `at` as a port and moves `at` past them.
std::optional<uint16_t> take_port(std::string_view text, size_t& at) {
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), port);
  if (error != std::errc{} || port == 0 || port > 65535) return std::nullopt;
  const auto after = static_cast<size_t>(end - text.data());
  if (after < text.size() && is_word(text[after])) return std::nullopt;
  at = after;
  return static_cast<uint16_t>(port);
}

// The port of a named side that stands further on, as packet filters write it: "SRC=… DST=… SPT=41234 DPT=443".
std::optional<uint16_t> port_of_side(std::string_view text, size_t at, int side) {
  static const re2::RE2 kSource(R"((?i)\b(?:spt|sport|src_?port)=(\d{1,5})\b)");
  static const re2::RE2 kDestination(R"((?i)\b(?:dpt|dport|dst_?port)=(\d{1,5})\b)");
  constexpr size_t kReach = 160;
  if (side == 0) return std::nullopt;
  const std::string_view near = text.substr(at, kReach);
  re2::StringPiece digits;
  if (!re2::RE2::PartialMatch({near.data(), near.size()}, side > 0 ? kSource : kDestination, &digits)) return std::nullopt;
  size_t from = static_cast<size_t>(digits.data() - text.data());
  return take_port(text, from);
}

// A port that stands near its address as a value of its own: " port 41234", "\", \"client_port\": 41234". Moves `at` past it.
std::optional<uint16_t> port_as_word(std::string_view text, size_t& at) {
  static const re2::RE2 kPattern(R"((?i)^[^\n]{0,24}?\b[a-z_.]*port["']?\s*[=: ]\s*["']?(\d{1,5})\b)");
  constexpr size_t kReach = 64;
  const std::string_view near = text.substr(at, kReach);
  re2::StringPiece digits;
  if (!re2::RE2::PartialMatch({near.data(), near.size()}, kPattern, &digits)) return std::nullopt;
  // Another address in between owns that port.
  const std::string_view between = near.substr(0, static_cast<size_t>(digits.data() - near.data()));
  if (std::ranges::count(between, '.') >= 3 || std::ranges::count(between, ':') >= 3) return std::nullopt;
  size_t end = static_cast<size_t>(digits.data() - text.data());
  const auto port = take_port(text, end);
  if (port) at = end;
  return port;
}

// What the word before an endpoint says: positive for the one that connected, negative for the one that was connected to.
int side_of(std::string_view text, size_t start) {
  constexpr size_t kReach = 24;
  std::string before(text.substr(start > kReach ? start - kReach : 0, std::min(start, kReach)));
  std::ranges::transform(before, before.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  while (!before.empty() && !is_word(before.back())) {
    if (before.ends_with("->") || before.ends_with("=>")) return -1;
    before.pop_back();
  }
  size_t word_start = before.size();
  while (word_start > 0 && is_word(before[word_start - 1])) --word_start;
  const std::string_view word = std::string_view(before).substr(word_start);
  for (const std::string_view name : {"client", "from", "src", "source", "remote", "rhost", "peer", "attacker", "c_ip", "saddr"}) {
    if (word == name || (word.size() > name.size() && (word.starts_with(name) || word.ends_with(name)))) return 1;
  }
  for (const std::string_view name :
       {"server", "to", "dst", "dest", "destination", "upstream", "host", "local", "on", "backend", "daddr", "towards"}) {
    if (word == name || (name.size() > 3 && word.size() > name.size() && (word.starts_with(name) || word.ends_with(name))))
      return -1;
  }
  return 0;
}

// The endpoint that begins at `at`, which stands on the first character of a possible address.
std::optional<FoundEndpoint> endpoint_at(std::string_view text, size_t at) {
  const size_t start = at;
  if (text[at] == '[') {
    const size_t close = text.find(']', at);
    if (close == std::string_view::npos || close - at > 46) return std::nullopt;
    const auto ip = parse_ip(text.substr(at + 1, close - at - 1));
    if (!ip || close + 1 >= text.size() || text[close + 1] != ':') return std::nullopt;
    size_t end = close + 2;
    const auto port = take_port(text, end);
    if (!port) return std::nullopt;
    return FoundEndpoint{start, end, {*ip, *port}};
  }
  size_t end = at;
  while (end < text.size() && in_address(text[end])) ++end;
  if (end < text.size() && is_word(text[end])) return std::nullopt;
  std::string_view run = text.substr(at, end - at);
  while (run.ends_with('.') || run.ends_with(':')) run.remove_suffix(1);
  const size_t colon = run.find(':');
  const bool one_colon = colon != std::string_view::npos && run.find(':', colon + 1) == std::string_view::npos;
  const auto ip = parse_ip(one_colon ? run.substr(0, colon) : run);
  if (!ip) return std::nullopt;
  if (one_colon) {
    size_t port_end = start + colon + 1;
    const auto port = take_port(text, port_end);
    if (!port) return std::nullopt;
    return FoundEndpoint{start, port_end, {*ip, *port}};
  }
  size_t after = start + run.size();
  auto port = port_of_side(text, after, side_of(text, start));
  if (!port) port = port_as_word(text, after);
  if (!port) return std::nullopt;
  return FoundEndpoint{start, after, {*ip, *port}};
}

std::vector<FoundEndpoint> find_endpoints(std::string_view text, const std::optional<FoundTime>& time) {
  constexpr size_t kEndpointsMax = 16;
  std::vector<FoundEndpoint> found;
  size_t at = 0;
  while (at < text.size() && found.size() < kEndpointsMax) {
    if (time && at >= time->start && at < time->end) {
      at = time->end;
      continue;
    }
    const bool begins = (text[at] == '[' || in_address(text[at])) && (at == 0 || (!is_word(text[at - 1]) && text[at - 1] != '.'));
    const auto endpoint = begins ? endpoint_at(text, at) : std::nullopt;
    if (endpoint) {
      found.push_back(*endpoint);
      at = endpoint->end;
    } else {
      ++at;
    }
  }
  return found;
}

}  // namespace

std::string_view to_text(PasteSpan::Role role) {
  switch (role) {
    case PasteSpan::Role::kTime: return "time";
    case PasteSpan::Role::kEndpoint: return "endpoint";
    case PasteSpan::Role::kPeer: return "peer";
  }
  return "time";
}

Pasted read_pasted(std::string_view text, TimeNs now) {
  text = text.substr(0, kPasteBytesMax);
  Pasted pasted;
  const auto time = find_time(text, now);
  if (time) {
    pasted.time = time->time;
    pasted.spans.push_back({time->start, time->end, PasteSpan::Role::kTime});
  }
  const std::vector<FoundEndpoint> found = find_endpoints(text, time);
  if (!found.empty()) {
    const auto subject = std::ranges::max_element(found, {}, [&](const FoundEndpoint& one) { return side_of(text, one.start); });
    pasted.endpoint = subject->endpoint;
    pasted.spans.push_back({subject->start, subject->end, PasteSpan::Role::kEndpoint});
    const auto peer = std::ranges::min_element(found, {}, [&](const FoundEndpoint& one) {
      return std::pair(one.endpoint == subject->endpoint, side_of(text, one.start));
    });
    if (peer->endpoint != subject->endpoint) {
      pasted.peer = peer->endpoint;
      pasted.spans.push_back({peer->start, peer->end, PasteSpan::Role::kPeer});
    }
  }
  std::ranges::sort(pasted.spans, {}, &PasteSpan::start);
  return pasted;
}

}  // namespace portbook
