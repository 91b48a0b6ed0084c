// Dates as programs write them into their logs.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "sources/line.h"

namespace portbook {

// "23/Nov/2026:12:31:46.704", also with one to nine digits of the second or none; of the origin's zone. Nothing when it is no such
// moment from 1970 to 2200.
std::optional<TimeNs> parse_clf_time(std::string_view text, const LineOrigin& origin);

// "Nov 23 12:31:46" (RFC 3164), of the origin's zone, in the year that puts it nearest before a day after `origin.read`.
std::optional<TimeNs> parse_bsd_time(std::string_view text, const LineOrigin& origin);

// "2026-11-23 12:46:59.982 UTC" as PostgreSQL and its pool write it: the zone is UTC, GMT or an offset such as +01; another
// abbreviation is taken as the origin's zone, since those do not say which they are.
std::optional<TimeNs> parse_console_time(std::string_view text, const LineOrigin& origin);

// "1795437118.735": seconds since 1970 with three digits behind the point.
std::optional<TimeNs> parse_epoch_ms(std::string_view text);

}  // namespace portbook
