// How lines begin in the logs of PostgreSQL and of PgBouncer: `2026-11-23 12:46:59.982 UTC [11147] `.
#pragma once

#include <optional>
#include <string_view>

#include "sources/line.h"

namespace portbook {

// Views are into the line.
struct ConsoleLine {
  TimeNs time = 0;
  std::string_view pid;
  std::string_view rest;
};
std::optional<ConsoleLine> parse_console_line(std::string_view line, const LineOrigin& origin);

}  // namespace portbook
