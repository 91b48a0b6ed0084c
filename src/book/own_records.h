// What the book itself records: batches accepted, and what was done to the book.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "record/record.h"

namespace portbook {

// The action of an `admin` record that says what the book found when it looked at itself.
inline constexpr std::string_view kSelfCheckFound = "self-check found damage";

// Whether the machine's clock is synchronised, as the kernel says (adjtimex).
ClockState machine_clock_state();

// Makes records of the source "HOST/book" but for their sequence numbers.
class OwnRecords {
 public:
  OwnRecords(std::string host, Clock& clock, std::function<ClockState()> clock_state);

  [[nodiscard]] const std::string& source() const { return source_; }

  // Something was done to the book: `action` in a few words, `message` a sentence for a person.
  [[nodiscard]] Record admin(std::string_view action, std::string_view message) const;

  struct Accepted {
    std::string_view source;
    uint64_t first_index = 0;
    uint64_t count = 0;
    uint64_t seq_first = 0;
    uint64_t seq_last = 0;
  };
  [[nodiscard]] Record batch(const Accepted& accepted) const;

 private:
  [[nodiscard]] Record made(Kind kind) const;

  std::string host_;
  std::string source_;
  Clock& clock_;
  std::function<ClockState()> clock_state_;
};

}  // namespace portbook
