#include <fmt/format.h>

#include <algorithm>

#include "query/who.h"

namespace portbook {

namespace {

Result<Endpoint> read_endpoint(std::string_view text, bool port_needed) {
  const auto pattern = parse_endpoint_pattern(text);
  if (!pattern) return std::unexpected(pattern.error());
  if (!pattern->is_address())
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is a network; who asks about one address", text));
  if (!pattern->port && port_needed) {
    return fail(ErrorCode::kBadInput,
                fmt::format("\"{}\" lacks its port: behind one address stand many owners, the port tells them apart", text));
  }
  return Endpoint{pattern->network.base, pattern->port.value_or(0)};
}

Status read_parts(const WhoParts& parts, TimeNs now, WhoQuestion& question, bool& has_endpoint, bool& has_time) {
  std::string endpoint = parts.endpoint;
  std::string at = parts.at;
  if (const size_t sign = endpoint.find('@'); sign != std::string::npos) {
    if (at.empty()) at = endpoint.substr(sign + 1);
    endpoint.resize(sign);
  }
  if (!endpoint.empty()) {
    const auto read = read_endpoint(endpoint, true);
    if (!read) return std::unexpected(read.error());
    question.endpoint = *read;
    has_endpoint = true;
  }
  if (!at.empty()) {
    const auto time = parse_time(at, now);
    if (!time) return std::unexpected(time.error());
    question.at = time->time;
    question.precision_ns = time->precision_ns;
    has_time = true;
  }
  if (!parts.peer.empty()) {
    const auto peer = read_endpoint(parts.peer, false);
    if (!peer) return std::unexpected(peer.error().in("peer"));
    question.peer = *peer;
  }
  if (!parts.window.empty()) {
    const auto window = parse_duration(parts.window);
    if (!window) return std::unexpected(window.error().in("window"));
    constexpr uint64_t kWindowMaxNs = 86'400 * kNsPerSecond;
    if (*window > kWindowMaxNs) return fail(ErrorCode::kBadInput, "window: at most 1d");
    question.window_ns = *window;
  }
  return {};
}

}  // namespace

Result<WhoQuestion> read_who_question(const WhoParts& parts, TimeNs now) {
  WhoQuestion question;
  question.host = parts.host;
  bool has_endpoint = false;
  bool has_time = false;
  const bool one_word = parts.text.find_first_of(" \t\n") == std::string::npos && parts.text.contains('@');
  if (one_word && parts.endpoint.empty()) {
    // ENDPOINT@TIME: what follows the sign must be a time, or the answer would be about now unasked.
    WhoParts read = parts;
    read.text.clear();
    read.endpoint = parts.text;
    auto strict = read_who_question(read, now);
    if (strict) strict->text = parts.text;
    return strict;
  }
  if (!parts.text.empty()) {
    if (parts.text.size() > kPasteBytesMax) {
      return fail(ErrorCode::kLimit, fmt::format("the text is longer than {} bytes", kPasteBytesMax));
    }
    question.text = parts.text;
    const Pasted pasted = read_pasted(parts.text, now);
    question.spans = pasted.spans;
    question.peer = pasted.peer;
    if (!pasted.endpoint && pasted.address && parts.endpoint.empty()) {
      return fail(
          ErrorCode::kBadInput,
          fmt::format("the text names {} without a port: behind one address stand many owners, the port tells them apart (for "
                      "an access log: nginx $remote_port, Apache %{{remote}}p)",
                      to_text(*pasted.address)));
    }
    has_endpoint = pasted.endpoint.has_value();
    if (has_endpoint) question.endpoint = *pasted.endpoint;
    has_time = pasted.time.has_value();
    if (has_time) {
      question.at = pasted.time->time;
      question.precision_ns = pasted.time->precision_ns;
    }
  }
  if (auto read = read_parts(parts, now, question, has_endpoint, has_time); !read) return std::unexpected(read.error());
  if (!has_endpoint) {
    return fail(ErrorCode::kBadInput, parts.text.empty() ? "name an endpoint, such as 203.0.113.5:41234"
                                                         : "the text names no address with a port, such as 203.0.113.5:41234");
  }
  if (!has_time) {
    question.at = now;
    question.precision_ns = 1;
    question.time_given = false;
  }
  if (question.text.empty()) question.text = fmt::format("{}@{}", to_text(question.endpoint), format_time(question.at));
  return question;
}

}  // namespace portbook
