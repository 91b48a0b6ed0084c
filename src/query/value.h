// Values in filters: how the text after a field's colon becomes a test of the field's type.
#pragma once

#include <string_view>

#include "query/filter.h"

namespace portbook {

// What kind of value a subject has.
enum class ValueKind : uint8_t { kNumber, kSigned, kTime, kDuration, kPort, kEnum, kIp, kText, kId128 };
ValueKind value_kind(const Test& test);

// One alternative as it was written: `text` without its quotes or comparison sign.
struct WrittenValue {
  std::string_view text;
  std::string_view compare;  // "", ">", ">=", "<", "<="
  bool quoted = false;       // stands for itself: no glob, no range
};

// Adds the alternative to the test. Errors: the message, what was expected and what was probably meant; without a position.
std::expected<void, FilterError> add_value(Test& test, const WrittenValue& value, TimeNs now);

// Adds an RE2 pattern to a test of text. Errors as above.
std::expected<void, FilterError> add_regex(Test& test, std::string_view pattern);

}  // namespace portbook
