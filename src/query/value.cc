#include "query/value.h"

#include <fmt/format.h>

#include <charconv>

namespace portbook {

namespace {

using Added = std::expected<void, FilterError>;
using Range = std::expected<NumberRange, FilterError>;

std::unexpected<FilterError> wrong(std::string message, std::string expected, std::string suggestion = {}) {
  return std::unexpected(FilterError{std::move(message), 0, 0, std::move(expected), std::move(suggestion)});
}

std::string_view subject_name(const Test& test) {
  switch (test.subject) {
    case Subject::kAnyIp: return "ip";
    case Subject::kAnyPort: return "port";
    case Subject::kDuration: return "duration";
    case Subject::kStart: return "since and until";
    case Subject::kOpenAt: return "at";
    default: return info(test.field).name;
  }
}

// The numbers that one written number stands for: a moment written as "12:03:04" is a second of them.
Range read_number(const Test& test, std::string_view text, TimeNs now) {
  switch (value_kind(test)) {
    case ValueKind::kTime: {
      const auto moment = parse_time(text, now);
      if (!moment) return wrong(moment.error().message, "a time such as 2026-11-22T12:03:04Z or 12:03:04");
      return NumberRange{moment->time, moment->time + moment->precision_ns - 1};
    }
    case ValueKind::kDuration: {
      const auto duration = parse_duration(text);
      if (!duration) return wrong(duration.error().message, "a duration such as 250ms or 1h30m");
      return NumberRange{*duration, *duration};
    }
    case ValueKind::kSigned: {
      int64_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc{} || end != text.data() + text.size()) {
        return wrong(fmt::format("\"{}\" is not a whole number", text), "a whole number");
      }
      return NumberRange{biased(value), biased(value)};
    }
    case ValueKind::kPort: {
      uint32_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc{} || end != text.data() + text.size() || value == 0 || value > 65535) {
        return wrong(fmt::format("\"{}\" is not a port", text), "a port from 1 to 65535");
      }
      return NumberRange{value, value};
    }
    default: break;
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  uint64_t scale = 1;
  if (unit == "k") scale = 1'000;
  if (unit == "M") scale = 1'000'000;
  if (unit == "G") scale = 1'000'000'000;
  if (error != std::errc{} || (scale == 1 && !unit.empty()) || value > UINT64_MAX / scale) {
    return wrong(fmt::format("\"{}\" is not a number", text), "a whole number, also with k, M or G");
  }
  return NumberRange{value * scale, value * scale};
}

Added add_compared(Test& test, const WrittenValue& value, TimeNs now) {
  const auto range = read_number(test, value.text, now);
  if (!range) return std::unexpected(range.error());
  if (value.compare == ">") {
    if (range->high == UINT64_MAX) return wrong("nothing is greater than that number", "a smaller number");
    test.numbers.push_back({range->high + 1, UINT64_MAX});
  } else if (value.compare == ">=") {
    test.numbers.push_back({range->low, UINT64_MAX});
  } else if (value.compare == "<") {
    if (range->low == 0) return wrong("nothing is less than 0", "a greater number");
    test.numbers.push_back({0, range->low - 1});
  } else {
    test.numbers.push_back({0, range->high});
  }
  return {};
}

Added add_number(Test& test, const WrittenValue& value, TimeNs now) {
  if (!value.compare.empty()) return add_compared(test, value, now);
  const size_t dots = value.quoted ? std::string_view::npos : value.text.find("..");
  if (dots == std::string_view::npos) {
    const auto range = read_number(test, value.text, now);
    if (!range) return std::unexpected(range.error());
    test.numbers.push_back(*range);
    return {};
  }
  const auto low = read_number(test, value.text.substr(0, dots), now);
  if (!low) return std::unexpected(low.error());
  const auto high = read_number(test, value.text.substr(dots + 2), now);
  if (!high) return std::unexpected(high.error());
  if (low->low > high->high) return wrong(fmt::format("the range {} is empty", value.text), "the smaller value first");
  test.numbers.push_back({low->low, high->high});
  return {};
}

Added add_enum(Test& test, const WrittenValue& value) {
  if (const auto number = enum_value(test.field, value.text)) {
    test.numbers.push_back({*number, *number});
    return {};
  }
  uint8_t number = 0;  // other protocols stand as numbers
  const auto [end, error] = std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
  if (error == std::errc{} && end == value.text.data() + value.text.size()) {
    test.numbers.push_back({number, number});
    return {};
  }
  std::vector<std::string_view> names;
  for (const EnumName& entry : enum_names(test.field)) names.push_back(entry.name);
  return wrong(fmt::format("{} is never \"{}\"", info(test.field).name, value.text),
               fmt::format("one of {}", fmt::join(names, ", ")), nearest_name(value.text, names));
}

IpRange range_of(const Network& network) {
  IpRange range{network.base, network.base};
  for (size_t bit = network.bits; bit < 128; ++bit) {
    const auto mask = static_cast<Byte>(0x80 >> bit % 8);
    range.low.bytes[bit / 8] = static_cast<Byte>(range.low.bytes[bit / 8] & ~mask);
    range.high.bytes[bit / 8] = static_cast<Byte>(range.high.bytes[bit / 8] | mask);
  }
  return range;
}

Added add_ip(Test& test, const WrittenValue& value) {
  const size_t dots = value.quoted ? std::string_view::npos : value.text.find("..");
  if (dots != std::string_view::npos) {
    const auto low = parse_ip(value.text.substr(0, dots));
    const auto high = parse_ip(value.text.substr(dots + 2));
    if (!low || !high || *low > *high)
      return wrong(fmt::format("\"{}\" is not a range of addresses", value.text), "the smaller address, two dots, the greater one");
    test.addresses.push_back({*low, *high});
    return {};
  }
  const auto pattern = parse_endpoint_pattern(value.text);
  if (!pattern) {
    return wrong(fmt::format("\"{}\" is not an address or network", value.text),
                 "an address or network such as 10.0.0.0/8 or 2001:db8::1");
  }
  if (pattern->port && test.subject != Subject::kEndpoint) {
    return wrong(fmt::format("{} takes an address without a port", subject_name(test)),
                 "an address or network; the port in a test of its own", to_text(EndpointPattern{pattern->network, std::nullopt}));
  }
  test.addresses.push_back(range_of(pattern->network));
  if (pattern->port) test.numbers.push_back({*pattern->port, *pattern->port});
  return {};
}

Added add_id(Test& test, const WrittenValue& value) {
  Bytes bytes;
  if (!parse_hex(value.text, bytes) || bytes.size() != 16) {
    return wrong(fmt::format("\"{}\" is not an id of {}", value.text, subject_name(test)), "32 hexadecimal digits");
  }
  Id128 id;
  std::ranges::copy(bytes, id.begin());
  test.ids.push_back(id);
  return {};
}

// Long texts are searched for words; paths may be named by their last part alone.
TextPattern::How usual_way(Field field, std::string_view text) {
  using enum TextPattern::How;
  if (field == Field::kCmdline || field == Field::kMessage) return kContains;
  if ((field == Field::kExe || field == Field::kCgroup) && !text.empty() && !text.contains('/')) return kLastPart;
  return kEqual;
}

Added add_text(Test& test, const WrittenValue& value) {
  if (!value.compare.empty()) {
    return wrong(fmt::format("{} is text and has no order", subject_name(test)),
                 "a text, a pattern with *, or ~\"regular expression\"");
  }
  const bool any_text = test.subject == Subject::kAnyText;
  const bool glob = !value.quoted && value.text.find_first_of("*?") != std::string_view::npos;
  TextPattern pattern;
  pattern.how = any_text ? TextPattern::How::kContains : usual_way(test.field, value.text);
  pattern.text = std::string(value.text);
  if (glob) {
    const bool inside = pattern.how == TextPattern::How::kContains;
    const bool last_part = test.field == Field::kExe && !any_text && !value.text.contains('/');
    pattern.text = inside ? fmt::format("*{}*", value.text) : last_part ? fmt::format("*/{}", value.text) : pattern.text;
    pattern.how = TextPattern::How::kGlob;
  }
  test.texts.push_back(std::move(pattern));
  return {};
}

}  // namespace

ValueKind value_kind(const Test& test) {
  switch (test.subject) {
    case Subject::kAnyIp:
    case Subject::kEndpoint: return ValueKind::kIp;
    case Subject::kAnyPort: return ValueKind::kPort;
    case Subject::kAnyText: return ValueKind::kText;
    case Subject::kStart:
    case Subject::kOpenAt: return ValueKind::kTime;
    case Subject::kDuration: return ValueKind::kDuration;
    case Subject::kField: break;
  }
  switch (info(test.field).type) {
    case FieldType::kUint: return ValueKind::kNumber;
    case FieldType::kSigned: return ValueKind::kSigned;
    case FieldType::kTime: return ValueKind::kTime;
    case FieldType::kDuration: return ValueKind::kDuration;
    case FieldType::kPort: return ValueKind::kPort;
    case FieldType::kEnum: return ValueKind::kEnum;
    case FieldType::kIp: return ValueKind::kIp;
    case FieldType::kId128: return ValueKind::kId128;
    case FieldType::kText:
    case FieldType::kCbor: return ValueKind::kText;
  }
  return ValueKind::kText;
}

Added add_value(Test& test, const WrittenValue& value, TimeNs now) {
  if (value.text.empty() && !value.quoted) {
    return wrong(fmt::format("{} lacks its value", subject_name(test)), "a value, or * for any");
  }
  if (value.text == "*" && !value.quoted && value.compare.empty()) {
    test.any_value = true;
    return {};
  }
  if (value.text.starts_with('@') && !value.quoted) {
    return wrong(fmt::format("\"{}\" is no value; a list from a file is read by the command line, not by the book", value.text),
                 "values joined with or, in parentheses; a value that begins with @ in quotes");
  }
  switch (value_kind(test)) {
    case ValueKind::kEnum:
      if (!value.compare.empty()) return wrong(fmt::format("{} has no order", subject_name(test)), "one of its names");
      return add_enum(test, value);
    case ValueKind::kIp:
      if (!value.compare.empty()) return wrong("addresses are compared by network or range", "a network, or low..high");
      return add_ip(test, value);
    case ValueKind::kId128:
      if (!value.compare.empty()) return wrong(fmt::format("{} has no order", subject_name(test)), "32 hexadecimal digits");
      return add_id(test, value);
    case ValueKind::kText: return add_text(test, value);
    default: return add_number(test, value, now);
  }
}

Added add_regex(Test& test, std::string_view pattern) {
  if (value_kind(test) != ValueKind::kText) {
    return wrong(fmt::format("{} is not text, so no regular expression fits", subject_name(test)), "a colon and a value");
  }
  re2::RE2::Options options;
  options.set_max_mem(kRegexBytesMax);
  options.set_log_errors(false);
  TextPattern compiled;
  compiled.how = TextPattern::How::kRegex;
  compiled.text = std::string(pattern);
  compiled.regex = std::make_unique<re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!compiled.regex->ok()) {
    return wrong(fmt::format("the regular expression is wrong: {}", compiled.regex->error()), "an RE2 expression");
  }
  test.texts.push_back(std::move(compiled));
  return {};
}

}  // namespace portbook
