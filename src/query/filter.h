// The filter language: the words by which people narrow connections and records. docs/query.md shows the grammar.
#pragma once

#include <re2/re2.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "record/endpoint.h"
#include "record/fields.h"
#include "record/record.h"

namespace portbook {

inline constexpr size_t kFilterBytesMax = 8192;
inline constexpr size_t kFilterDepthMax = 32;   // nested parentheses and nots
inline constexpr size_t kFilterTestsMax = 512;  // tests and alternatives in one filter
inline constexpr int64_t kRegexBytesMax = 1 << 20;

// What is wrong with a filter, and where. `position` and `length` are bytes of the filter's text.
struct FilterError {
  std::string message;  // one sentence for a person
  size_t position = 0;
  size_t length = 0;
  std::string expected;    // what could have stood there
  std::string suggestion;  // what was probably meant; empty when nothing is near
};

// Both ends belong to the range. A kSigned value v stands as v + 2^63.
struct NumberRange {
  uint64_t low = 0;
  uint64_t high = UINT64_MAX;
  [[nodiscard]] bool contains(uint64_t value) const { return value >= low && value <= high; }
};
constexpr uint64_t biased(int64_t value) {
  return static_cast<uint64_t>(value) ^ uint64_t { 1 } << 63;
}

struct IpRange {
  Ip low;
  Ip high;
  [[nodiscard]] bool contains(const Ip& ip) const { return ip >= low && ip <= high; }
  [[nodiscard]] bool single() const { return low == high; }
};

// One way in which a text may match.
struct TextPattern {
  enum class How : uint8_t {
    kEqual,     // the whole text
    kLastPart,  // the whole text, or what follows its last '/'
    kGlob,      // * is any run of characters, ? is one; the whole text
    kContains,  // somewhere in the text, ASCII letters of either case
    kRegex,     // RE2, somewhere in the text
  };
  How how = How::kEqual;
  std::string text;
  std::unique_ptr<re2::RE2> regex;  // of kRegex

  [[nodiscard]] bool matches(std::string_view value) const;
};

// What a test looks at.
enum class Subject : uint8_t {
  kField,     // one field of the record
  kAnyIp,     // any address of the record
  kAnyPort,   // any port of the record
  kEndpoint,  // an address and its own port, any pair of the record
  kAnyText,   // any text of the record or its process
  kStart,     // when the connection began; a record's time
  kOpenAt,    // open at some moment of the range
  kDuration,  // how long the connection lasted
};

// One test: true iff the subject's value is there and one of the alternatives holds. Only the list of the subject's type is used.
struct Test {
  Subject subject = Subject::kField;
  Field field = Field::kKind;
  bool any_value = false;            // field:*
  std::vector<NumberRange> numbers;  // numbers, times, ports, enums
  std::vector<IpRange> addresses;
  std::vector<TextPattern> texts;
  std::vector<Id128> ids;
};

struct FilterNode {
  enum class Op : uint8_t { kAll, kAny, kNot, kTest };
  Op op = Op::kAll;
  std::vector<FilterNode> children;  // kNot has one; kAll of none is true
  Test test;                         // of kTest
};

// A parsed filter. Moves only.
struct Filter {
  FilterNode root;
  bool records_all = false;       // records:all stands in it
  bool asks_for_records = false;  // it names a kind or a vantage that no connection has
  std::string note;               // what of its answer may surprise, for a person; usually empty
};

// Reads a filter; an empty text is the filter that everything passes. Times without a date are those of `now`'s day.
std::expected<Filter, FilterError> parse_filter(std::string_view text, TimeNs now);

// Names that the language knows besides the record's fields: ip, port, since, until, at, records, duration.
std::span<const std::string_view> filter_words();

// The known name nearest to `word` by edit distance, or nothing when none is near.
std::string nearest_name(std::string_view word, std::span<const std::string_view> names);

// The part of time that every match must have begun in, as far as the conjuncts of the filter say; used to leave blocks out.
NumberRange start_range(const Filter& filter);

}  // namespace portbook
