// What is known of a line of another program's log beside its text.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "sources/zone.h"

namespace portbook {

struct LineOrigin {
  TimeNs read = 0;  // when it was read: the moment of a line that names none, and where a year is missing it is taken from here
  Zone zone;        // of times that name none
  std::optional<uint64_t> clock_error_ns = {};  // how wrong the clock of whoever wrote it may be, where somebody said so
};

// A part of a line, walked over front to back. All views are into the line.
class LineScan {
 public:
  explicit LineScan(std::string_view rest) : rest_(rest) {}

  // Takes what stands before the first `end`, and `end`. False, without moving, where there is none or nothing before it.
  bool take(char end, std::string_view& part) {
    const size_t at = rest_.find(end);
    if (at == std::string_view::npos || at == 0) return false;
    part = rest_.substr(0, at);
    rest_.remove_prefix(at + 1);
    return true;
  }
  // Takes the word up to the next blank or the end.
  bool take_word(std::string_view& word) {
    if (take(' ', word)) return true;
    if (rest_.empty() || rest_.front() == ' ') return false;
    word = rest_;
    rest_ = {};
    return true;
  }
  bool skip(std::string_view exactly) {
    if (!rest_.starts_with(exactly)) return false;
    rest_.remove_prefix(exactly.size());
    return true;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// Decimal digits alone, at most 18 of them.
bool parse_count(std::string_view digits, uint64_t& value);
// The same with "-1" for "did not happen", as proxies write durations; `known` says which.
bool parse_measure(std::string_view text, uint64_t& value, bool& known);

}  // namespace portbook
