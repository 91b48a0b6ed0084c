#include "sources/zone.h"

#include <ctime>

namespace portbook {

namespace {

constexpr int64_t kDay = 86'400;
constexpr int64_t kQuarter = 900;  // rules change at multiples of it, if at all
constexpr int64_t kReadEarly = 60;

int64_t offset_at(int64_t utc_seconds) {
  const time_t at = utc_seconds;
  tm shown{};
  return localtime_r(&at, &shown) == nullptr ? 0 : shown.tm_gmtoff;
}

// A quarter of an hour in which the zone's rules do not change, and a day around it neither.
struct SteadyQuarter {
  int64_t number = INT64_MIN;
  int64_t offset = 0;
};

}  // namespace

int64_t seconds_east(const Zone& zone, int64_t local_seconds, TimeNs read) {
  if (!zone.of_process) return int64_t{zone.minutes_east} * 60;
  static thread_local SteadyQuarter steady;
  const int64_t quarter = local_seconds / kQuarter;
  if (quarter == steady.number) return steady.offset;
  const int64_t before = offset_at(local_seconds - kDay);
  const int64_t after = offset_at(local_seconds + kDay);
  if (before == after) {
    steady = {quarter, before};
    return before;
  }
  const bool was_before = offset_at(local_seconds - before) == before;
  const bool was_after = offset_at(local_seconds - after) == after;
  if (was_before && was_after) {
    const int64_t second = local_seconds - after;
    return second <= static_cast<int64_t>(read / kNsPerSecond) + kReadEarly ? after : before;
  }
  return was_after ? after : before;
}

}  // namespace portbook
