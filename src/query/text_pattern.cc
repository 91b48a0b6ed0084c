#include <algorithm>

#include "query/filter.h"

namespace portbook {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Iterative matching with one remembered star: linear in practice, at worst the product of the lengths.
bool glob_matches(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

bool TextPattern::matches(std::string_view value) const {
  switch (how) {
    case How::kEqual: return value == text;
    case How::kLastPart: return value == text || (value.ends_with(text) && value[value.size() - text.size() - 1] == '/');
    case How::kGlob: return glob_matches(text, value);
    case How::kContains:
      return !std::ranges::search(value, text, [](char a, char b) { return lower(a) == lower(b); }).empty() || text.empty();
    case How::kRegex: return re2::RE2::PartialMatch({value.data(), value.size()}, *regex);
  }
  return false;
}

}  // namespace portbook
