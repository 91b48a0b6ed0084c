#include "cli/filter_text.h"

#include <fmt/format.h>

#include <fstream>

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

Result<std::string> values_in(const std::string& path) {
  std::ifstream in(path);
  if (!in) return fail(ErrorCode::kNotFound, fmt::format("cannot read the list {}", path));
  std::string out;
  for (std::string line; std::getline(in, line);) {
    const size_t start = line.find_first_not_of(kCellEnds);
    if (start == std::string::npos || line[start] == '#') continue;
    const std::string_view rest = std::string_view(line).substr(start);
    const bool quoted = rest.starts_with('"') && rest.find('"', 1) != std::string_view::npos;
    const std::string_view value = quoted ? rest.substr(1, rest.find('"', 1) - 1) : rest.substr(0, rest.find_first_of(kCellEnds));
    out += fmt::format("{}{}", out.empty() ? "" : " or ", written(value));
    if (out.size() > kFilterBytesMax) {
      return fail(ErrorCode::kLimit,
                  fmt::format("the list {} makes the filter longer than {} bytes; split it", path, kFilterBytesMax));
    }
  }
  if (out.empty()) return fail(ErrorCode::kBadInput, fmt::format("the list {} holds no value", path));
  return out;
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
  std::string out;
  for (size_t at = 0; at < typed.size();) {
    if (typed[at] == '"') {
      const size_t end = behind_quotes(typed, at);
      out += typed.substr(at, end - at);
      at = end;
    } else if (typed[at] == ':' && at + 1 < typed.size() && typed[at + 1] == '@') {
      const bool quoted = at + 2 < typed.size() && typed[at + 2] == '"';
      const size_t end = quoted ? behind_quotes(typed, at + 2) : std::min(typed.find_first_of(" )", at), typed.size());
      const std::string path = quoted ? typed.substr(at + 3, end - at - 4) : typed.substr(at + 2, end - at - 2);
      const auto values = values_in(path);
      if (!values) return std::unexpected(values.error());
      out += fmt::format(":({})", *values);
      at = end;
    } else {
      out += typed[at++];
    }
  }
  return out;
}

}  // namespace portbook
