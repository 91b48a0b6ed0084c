#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "server/http.h"

namespace portbook {

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out += ' ';
    } else if (text[i] == '%') {
      Bytes byte;
      if (i + 2 >= text.size() || !parse_hex(text.substr(i + 1, 2), byte)) return std::nullopt;
      out += static_cast<char>(byte.front());
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    plain ? out += c : out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string target_of(const HttpRequest& request) {
  std::string out;
  for (std::string_view rest = request.path; !rest.empty();) {
    const size_t end = std::min(rest.find('/', 1), rest.size());
    out += '/' + percent_encoded(rest.substr(1, end - 1));
    rest.remove_prefix(end);
  }
  char before = '?';
  for (const auto& [name, value] : request.params) {
    out += fmt::format("{}{}={}", before, percent_encoded(name), percent_encoded(value));
    before = '&';
  }
  return out;
}

bool is_own_target(std::string_view target) {
  return target.size() <= kTargetBytesMax && target.starts_with('/') && !target.starts_with("//") &&
         std::ranges::all_of(target, [](char c) { return c > ' ' && c < '\x7f' && c != '\\'; });
}

std::optional<std::string_view> HttpRequest::param(std::string_view name) const {
  for (const auto& [key, value] : params) {
    if (key == name) return value;
  }
  return std::nullopt;
}

}  // namespace portbook
