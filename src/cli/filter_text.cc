#include "cli/filter_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/clock.h"
#include "query/filter.h"

namespace portbook {

namespace {

constexpr std::string_view kCellEnds = " \t,;\r";

// A value that the filter language would read as something else stands in quotes.
std::string written(std::string_view value) {
  const bool plain =
      value.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:/_-+=%") == std::string_view::npos;
  if (plain && !value.starts_with('-')) return std::string(value);
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

// A part of what the book reads, and where it came from: bytes of what was typed, or a line of a list.
struct Part {
  size_t begin = 0;
  size_t typed = 0;
  std::string list;  // empty: typed
  size_t line = 0;
};

// What the book reads, part by part.
struct Expanded {
  std::string text;
  std::vector<Part> parts;  // by `begin`
  bool with_lists = false;

  void take(std::string_view typed, size_t at, size_t bytes) {
    parts.push_back({text.size(), at, "", 0});
    text += typed.substr(at, bytes);
  }

  // What is wrong with it, in the words of whoever typed it.
  [[nodiscard]] Error error_of(const FilterError& wrong) const {
    const auto behind = std::ranges::upper_bound(parts, wrong.position, {}, &Part::begin);
    const Part& part = *std::prev(behind);
    if (!part.list.empty())
      return {ErrorCode::kBadInput,
              fmt::format("{}, line {}: {}; expected {}", part.list, part.line, wrong.message, wrong.expected)};
    return {ErrorCode::kBadInput, fmt::format("{} (at position {}; expected {})", wrong.message,
                                              part.typed + wrong.position - part.begin + 1, wrong.expected)};
  }
};

// Appends the values of the list, with `typed` as the place of the words between them.
Status take_list(const std::string& path, size_t typed, Expanded& out) {
  std::ifstream in(path);
  if (!in) return fail(ErrorCode::kNotFound, fmt::format("cannot read the list {}", path));
  out.with_lists = true;
  out.take(":(", 0, 2);
  out.parts.back().typed = typed;
  size_t number = 0;
  bool first = true;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const size_t start = line.find_first_not_of(kCellEnds);
    if (start == std::string::npos || line[start] == '#') continue;
    const std::string_view rest = std::string_view(line).substr(start);
    const bool quoted = rest.starts_with('"') && rest.find('"', 1) != std::string_view::npos;
    const std::string_view value = quoted ? rest.substr(1, rest.find('"', 1) - 1) : rest.substr(0, rest.find_first_of(kCellEnds));
    if (!first) out.text += " or ";
    first = false;
    out.parts.push_back({out.text.size(), typed, path, number});
    out.text += written(value);
    if (out.text.size() > kFilterBytesMax) {
      return fail(ErrorCode::kLimit,
                  fmt::format("the list {} makes the filter longer than {} bytes; split it", path, kFilterBytesMax));
    }
  }
  if (first) return fail(ErrorCode::kBadInput, fmt::format("the list {} holds no value", path));
  out.text += ")";
  return {};
}

// Where the text between quotes that begins at `at` ends, behind the closing one.
size_t behind_quotes(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

}  // namespace

Result<std::string> filter_text(const std::vector<std::string>& words) {
  const std::string typed = fmt::format("{}", fmt::join(words, " "));
  Expanded out;
  size_t from = 0;  // what was typed from here on is not in `out` yet
  for (size_t at = 0; at < typed.size();) {
    if (typed[at] == '"') {
      at = behind_quotes(typed, at);
    } else if (typed[at] == ':' && at + 1 < typed.size() && typed[at + 1] == '@') {
      const bool quoted = at + 2 < typed.size() && typed[at + 2] == '"';
      const size_t end = quoted ? behind_quotes(typed, at + 2) : std::min(typed.find_first_of(" )", at), typed.size());
      const std::string path = quoted ? typed.substr(at + 3, end - at - 4) : typed.substr(at + 2, end - at - 2);
      out.take(typed, from, at - from);
      if (Status taken = take_list(path, at, out); !taken) return std::unexpected(taken.error());
      from = at = end;
    } else {
      ++at;
    }
  }
  out.take(typed, from, typed.size() - from);
  if (!out.with_lists) return out.text;
  // The book would name a position in a text that nobody typed.
  const auto filter = parse_filter(out.text, system_clock().now());
  if (!filter) return std::unexpected(out.error_of(filter.error()));
  return out.text;
}

}  // namespace portbook
