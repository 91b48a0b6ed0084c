// Finds the moment that a line of another program's log speaks of.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace portbook {

struct FoundTime {
  size_t start = 0;  // bytes of the text
  size_t end = 0;
  WrittenTime time;
};

// The first time in `text`, by forms in order of how surely they are times: a flow log's interval, ISO 8601 (also basic), nginx
// error logs, access logs, ctime, mail, syslog (without a year: the latest of its kind that is not after `now` by more than a day),
// epoch numbers, a time of today. Zones: Z, offsets, and the names of RFC 5322; none means UTC.
std::optional<FoundTime> find_time(std::string_view text, TimeNs now);

}  // namespace portbook
