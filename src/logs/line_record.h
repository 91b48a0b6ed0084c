// What a followed log becomes: one record for each of its lines, and gap records for what is known to be lost.
#pragma once

#include <string>
#include <string_view>

#include "logs/log_position.h"
#include "record/record.h"
#include "sources/decode.h"

namespace portbook {

// A longer line is a note with its beginning, whose cause says so; the rest is passed over.
inline constexpr size_t kLogLineBytesMax = 64 * 1024;
inline constexpr std::string_view kLineTooLong = "line longer than 64 KiB";  // the `cause` of such a note

struct LogLine {
  std::string_view text;  // without its newline
  bool cut = false;       // it was longer than kLogLineBytesMax
};

// Lines that hold nothing but blanks are no records.
bool holds_something(std::string_view line);

// Whether a line of a file becomes a record: it holds something, and its syslog header names no other program, as in an auth.log
// that sshd shares with others. The same line is always told the same.
bool is_line_of(LineFormat format, std::string_view line);

// Whether a record that was understood names all the ports that its program could name.
bool names_ports(LineFormat format, const Record& record);

// Makes the record, without source and number; `host` is that of a line that names none. True when it was understood.
bool read_log_line(LineFormat format, const LogLine& line, const LineOrigin& origin, std::string_view host, Record& record);

// Makes the gap record that `position` says follows, without source and number. `source` is the log's. Needs a gap.
void read_log_gap(const LogPosition& position, std::string_view source, std::string_view host, TimeNs now, std::string_view refusal,
                  Record& record);

}  // namespace portbook
