// What a syslog daemon or a program's own syslog code puts before a message: RFC 5424, and RFC 3164 as it is found in files and on
// sockets.
#pragma once

#include <optional>
#include <string_view>

#include "sources/line.h"

namespace portbook {

// Views are into the line.
struct SyslogHeader {
  std::optional<TimeNs> time;
  std::string_view host;  // empty: it names none
  std::string_view app;   // empty: there is no header, or one of RFC 5424 that names none
  std::string_view pid;
  std::optional<uint8_t> priority = {};  // facility * 8 + severity
  std::string_view message;              // the rest; the whole line where there is no header
  std::string_view message_id = {};      // RFC 5424
  std::string_view structured = {};      // its structured data as it came
  bool zone_assumed = false;             // the time names none
};

// Takes apart `<134>1 2026-11-23T12:31:46.704Z lb-1 haproxy 316 - - …` (of structured data all elements), `<134>Nov 23
// 12:31:46 haproxy[316]: …`, `Nov 23 2026 12:31:46 lb-1 haproxy[316]: …`, `Nov 23 12:31:46 lb-1 haproxy[316]: …` and
// `2026-11-23T12:31:46.704+00:00 lb-1 haproxy[316]: …`, each with or without its priority. Never fails: what is no header is
// message.
SyslogHeader parse_syslog_header(std::string_view line, const LineOrigin& origin);

}  // namespace portbook
