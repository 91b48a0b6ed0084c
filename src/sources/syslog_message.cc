#include "sources/syslog_message.h"

#include <array>

#include "sources/decode.h"
#include "sources/named_values.h"
#include "sources/syslog_header.h"

namespace portbook {

namespace {

constexpr uint64_t kNsPerMicrosecond = 1000;
constexpr uint64_t kSyncAccuracyMax = 3'600'000'000;  // microseconds; more is no accuracy

// Takes `NAME="value"`, in which a backslash stands before a quote, a backslash or a bracket. Source: RFC 5424 section 6.3.3.
bool take_parameter(std::string_view& rest, std::string_view& name, std::string_view& value) {
  const size_t equals = rest.find_first_of("= ]\"");
  if (equals == 0 || equals == std::string_view::npos || !rest.substr(equals).starts_with("=\"")) return false;
  name = rest.substr(0, equals);
  rest.remove_prefix(equals + 2);
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '\\') {
      ++i;
    } else if (rest[i] == '"') {
      value = rest.substr(0, i);
      rest.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

struct TimeQuality {
  bool synchronised = false;
  std::optional<uint64_t> accuracy_ns;
};

// Takes `[id name="value" …]`.
bool take_element(std::string_view& rest, TimeQuality& quality) {
  const size_t end = rest.find_first_of("= ]\"");
  if (!rest.starts_with('[') || end == std::string_view::npos || end == 1) return false;
  const bool of_time = rest.substr(1, end - 1) == "timeQuality";
  rest.remove_prefix(end);
  while (rest.starts_with(' ')) {
    rest.remove_prefix(1);
    std::string_view name;
    std::string_view value;
    if (!take_parameter(rest, name, value)) return false;
    uint64_t number = 0;
    if (of_time && name == "isSynced") quality.synchronised = value == "1";
    if (of_time && name == "syncAccuracy" && parse_count(value, number) && number < kSyncAccuracyMax)
      quality.accuracy_ns = number * kNsPerMicrosecond;
  }
  if (!rest.starts_with(']')) return false;
  rest.remove_prefix(1);
  return true;
}

std::string_view mark_of_time(const SyslogHeader& header) {
  if (!header.time) return "none";
  return header.zone_assumed ? "zone assumed" : "";
}

}  // namespace

std::optional<uint64_t> clock_error_in(std::string_view structured) {
  TimeQuality quality;
  while (!structured.empty()) {
    if (!take_element(structured, quality)) return std::nullopt;
  }
  return quality.synchronised ? quality.accuracy_ns : std::nullopt;
}

bool read_syslog_message(std::string_view text, const SyslogArrival& arrival, std::string_view host, Record& record) {
  const SyslogHeader header = parse_syslog_header(text, arrival.origin);
  LineOrigin origin = arrival.origin;
  if (const auto error = clock_error_in(header.structured); error && header.time) origin.clock_error_ns = error;
  bool understood = false;
  if (arrival.trouble.empty()) {
    understood = decode_line(LineFormat::kSyslog, text, origin, record);
  } else {
    record.clear();
    record.set(Field::kKind, Kind::kNote);
    record.set(Field::kVantage, Vantage::kApp);
    record.set(Field::kTime, header.time.value_or(origin.read));
    record.set(Field::kMessage, text);
    record.set(Field::kCause, arrival.trouble);
  }
  record.set(Field::kHost, header.host.empty() ? host : header.host);
  const auto values = std::to_array<NamedValue>({{"from", arrival.from},
                                                 {"msgid", header.message_id},
                                                 {"header_time", mark_of_time(header)},
                                                 {"structured", header.structured}});
  add_values(values, record);
  return understood;
}

}  // namespace portbook
