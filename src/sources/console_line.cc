#include "sources/console_line.h"

#include "sources/calendar.h"

namespace portbook {

std::optional<ConsoleLine> parse_console_line(std::string_view line, const LineOrigin& origin) {
  LineScan scan(line);
  std::string_view written;
  ConsoleLine console;
  uint64_t pid = 0;
  if (!scan.take('[', written) || !written.ends_with(' ') || !scan.take(']', console.pid) || !parse_count(console.pid, pid) ||
      !scan.skip(" "))
    return std::nullopt;
  const auto time = parse_console_time(written.substr(0, written.size() - 1), origin);
  if (!time) return std::nullopt;
  console.time = *time;
  console.rest = scan.rest();
  return console;
}

}  // namespace portbook
