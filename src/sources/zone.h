// Which zone the times of a log are of that name none.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace portbook {

// Without more, UTC.
struct Zone {
  int32_t minutes_east = 0;
  bool of_process = false;  // with summer time, as tzset(3) finds it: from TZ, else the machine's; minutes_east then means nothing
};

// How many seconds the zone is ahead of UTC when its clocks show `local_seconds`, counted since 1970 as if they were UTC. What they
// show twice at the end of summer time is the second one once `read`, when it was read, is not a minute before that; what they
// never show is counted as before the change. Thread-safe; of_process needs a tzset(3) before.
int64_t seconds_east(const Zone& zone, int64_t local_seconds, TimeNs read);

}  // namespace portbook
