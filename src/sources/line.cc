#include "sources/line.h"

namespace portbook {

namespace {
constexpr size_t kDigitsMax = 18;
}

bool parse_count(std::string_view digits, uint64_t& value) {
  if (digits.empty() || digits.size() > kDigitsMax) return false;
  uint64_t sum = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return false;
    sum = sum * 10 + static_cast<uint64_t>(c - '0');
  }
  value = sum;
  return true;
}

bool parse_measure(std::string_view text, uint64_t& value, bool& known) {
  known = text != "-1";
  return !known || parse_count(text, value);
}

}  // namespace portbook
