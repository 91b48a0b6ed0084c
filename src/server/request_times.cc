#include "server/request_times.h"

#include <algorithm>

#include "base/check.h"

namespace portbook {

void RequestTimes::add(size_t route, std::chrono::nanoseconds took) {
  PB_CHECK(route < routes_.size());
  const double seconds = std::chrono::duration<double>(took).count();
  const auto bucket = static_cast<size_t>(std::ranges::lower_bound(kBuckets, seconds) - kBuckets.begin());
  ++routes_[route].in_bucket[bucket];
  routes_[route].nanoseconds += static_cast<uint64_t>(took.count());
}

RequestTimes::Histogram RequestTimes::of(size_t route) const {
  PB_CHECK(route < routes_.size());
  Histogram result;
  for (size_t i = 0; i <= kBuckets.size(); ++i) {
    result.count += routes_[route].in_bucket[i];
    if (i < kBuckets.size()) result.up_to[i] = result.count;
  }
  result.seconds = static_cast<double>(routes_[route].nanoseconds) / 1e9;
  return result;
}

}  // namespace portbook
