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

}  // namespace portbook
