// Lines of other programs' logs to records: one record for each line, whatever it holds. docs/sources.md says what each gives.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "record/record.h"
#include "sources/line.h"

namespace portbook {

// kSyslog: of any program, which each line's header names.
enum class LineFormat : uint8_t { kHaproxy, kPostgresql, kPgbouncer, kSshd, kNginx, kSyslog };

struct LineFormatName {
  LineFormat format;
  std::string_view name;
};
std::span<const LineFormatName> line_formats();
std::optional<LineFormat> line_format_named(std::string_view name);

inline constexpr std::string_view kNotUnderstood = "not understood";  // the `cause` of such a note

// Makes the record that the line is, without source and number: what the program says, or, where that is not understood, a `note`
// whose message is the line and whose cause says so. True when it was understood. The same line and origin give the same record.
// A syslog header before it may be there; its host becomes the record's.
bool decode_line(LineFormat format, std::string_view line, const LineOrigin& origin, Record& record);

}  // namespace portbook
