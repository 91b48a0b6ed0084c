#include "query/paste.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "query/paste_time.h"

namespace portbook {

namespace {

struct FoundEndpoint {
  size_t start = 0;
  size_t end = 0;
  Endpoint endpoint;
};

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

// The port of a named side that stands further on, as packet filters, flow logs and JSON write it: "SRC=… DST=… SPT=41234 DPT=443".
std::optional<uint16_t> port_of_side(std::string_view text, size_t at, int side) {
  static const re2::RE2 kSource(
      R"((?i)(?:\b|_)(?:spt|sport|src_?port|source_?port|orig_p|client_?port|remote_?port)["']?\s*[=:]\s*["']?(\d{1,5})\b)");
  static const re2::RE2 kDestination(
      R"((?i)(?:\b|_)(?:dpt|dport|dst_?port|dest(?:ination)?_?port|resp_p|server_?port|local_?port)["']?\s*[=:]\s*["']?(\d{1,5})\b)");
  constexpr size_t kReach = 240;
  if (side == 0) return std::nullopt;
  const std::string_view near = text.substr(at, kReach);
  re2::StringPiece digits;
  if (!re2::RE2::PartialMatch({near.data(), near.size()}, side > 0 ? kSource : kDestination, &digits)) return std::nullopt;
  size_t from = static_cast<size_t>(digits.data() - text.data());
  return take_port(text, from);
}

// A port in the column after its address: behind a tab, comma or semicolon; behind a blank only where more columns or nothing
// follow. Moves `at` past it.
std::optional<uint16_t> port_in_column(std::string_view text, size_t& at) {
  static const re2::RE2 kPattern(
      R"(^(?:["']?[\t,;]["']?(\d{1,5})(?:$|[\s,;"'])|\s+(\d{1,5})(?:\s*$|\s+(?:[0-9a-fA-F]*[.:][0-9a-fA-F.:]+|tcp|udp|TCP|UDP)(?:$|\s))))");
  const std::string_view rest = text.substr(at, 64);
  re2::StringPiece separated;
  re2::StringPiece blank;
  if (!re2::RE2::PartialMatch({rest.data(), rest.size()}, kPattern, &separated, &blank)) return std::nullopt;
  const re2::StringPiece& digits = separated.data() != nullptr ? separated : blank;
  size_t end = static_cast<size_t>(digits.data() - text.data());
  const auto port = take_port(text, end);
  if (port) at = end;
  return port;
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
    if (before.ends_with("->") || before.ends_with("=>") || before.ends_with(" >")) return -1;
    before.pop_back();
  }
  size_t word_start = before.size();
  while (word_start > 0 && is_word(before[word_start - 1])) --word_start;
  const std::string_view word = std::string_view(before).substr(word_start);
  for (const std::string_view name :
       {"client", "from", "src", "source", "remote", "rhost", "peer", "attacker", "c_ip", "saddr", "orig_h"}) {
    if (word == name || (word.size() > name.size() && (word.starts_with(name) || word.ends_with(name)))) return 1;
  }
  for (const std::string_view name : {"server", "to", "dst", "dest", "destination", "upstream", "host", "local", "on", "backend",
                                      "daddr", "towards", "dstaddr", "dst_ip", "dst_addr", "dstip", "resp_h"}) {
    if (word == name || (name.size() > 3 && word.size() > name.size() && (word.starts_with(name) || word.ends_with(name))))
      return -1;
  }
  return 0;
}

// "203.0.113.5.41234" and "2001:db8::5.41234", as packet dumps write them.
std::optional<FoundEndpoint> dotted_endpoint(std::string_view text, size_t start, std::string_view run) {
  const size_t dot = run.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto ip = parse_ip(run.substr(0, dot));
  size_t end = start + dot + 1;
  const auto port = ip ? take_port(text, end) : std::nullopt;
  if (!port) return std::nullopt;
  return FoundEndpoint{start, end, {*ip, *port}};
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
  if (!ip) return dotted_endpoint(text, start, run);
  if (one_colon) {
    size_t port_end = start + colon + 1;
    const auto port = take_port(text, port_end);
    if (!port) return std::nullopt;
    return FoundEndpoint{start, port_end, {*ip, *port}};
  }
  size_t after = start + run.size();
  auto port = port_of_side(text, after, side_of(text, start));
  if (!port) port = port_in_column(text, after);
  if (!port) port = port_as_word(text, after);
  if (!port) return std::nullopt;
  return FoundEndpoint{start, after, {*ip, *port}};
}

// Both addresses, then both ports, as flow logs have their columns: the first of each is the source's.
std::vector<FoundEndpoint> four_columns(std::string_view text) {
  static const re2::RE2 kPattern(
      R"((?:^|[\s,;"'])([0-9a-fA-F:.]{3,45})["']?[ \t,;]+["']?([0-9a-fA-F:.]{3,45})["']?[ \t,;]+["']?(\d{1,5})["']?[ \t,;]+["']?(\d{1,5})(?:$|[\s,;"']))");
  re2::StringPiece part[4];
  if (!re2::RE2::PartialMatch({text.data(), text.size()}, kPattern, &part[0], &part[1], &part[2], &part[3])) return {};
  std::vector<FoundEndpoint> found;
  for (const size_t side : {0, 1}) {
    const auto ip = parse_ip({part[side].data(), part[side].size()});
    size_t end = static_cast<size_t>(part[side + 2].data() - text.data());
    const auto port = take_port(text, end);
    if (!ip || !port) return {};
    const auto start = static_cast<size_t>(part[side].data() - text.data());
    found.push_back({start, start + part[side].size(), {*ip, *port}});
  }
  return found;
}

// An address that stands alone, to be named where a port is missed.
std::optional<Ip> find_address(std::string_view text, const std::optional<FoundTime>& time) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (time && at >= time->start && at < time->end) continue;
    if (!in_address(text[at]) || (at > 0 && (is_word(text[at - 1]) || text[at - 1] == '.' || text[at - 1] == ':'))) continue;
    size_t end = at;
    while (end < text.size() && in_address(text[end])) ++end;
    std::string_view run = text.substr(at, end - at);
    while (run.ends_with('.') || run.ends_with(':')) run.remove_suffix(1);
    if (const auto ip = parse_ip(run)) return ip;
  }
  return std::nullopt;
}

std::vector<FoundEndpoint> find_endpoints(std::string_view text, const std::optional<FoundTime>& time) {
  constexpr size_t kEndpointsMax = 16;
  std::vector<FoundEndpoint> found = four_columns(text);
  if (!found.empty()) return found;
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
  if (found.empty()) pasted.address = find_address(text, time);
  std::ranges::sort(pasted.spans, {}, &PasteSpan::start);
  return pasted;
}

}  // namespace portbook
