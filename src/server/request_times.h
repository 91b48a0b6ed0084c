// How long answers took, by route: a histogram for /metrics.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace portbook {

// Thread-safe.
class RequestTimes {
 public:
  // Upper ends of the buckets in seconds, ascending; what took longer counts in the total alone.
  static constexpr auto kBuckets =
      std::to_array<double>({0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30});

  explicit RequestTimes(size_t routes) : routes_(routes) {}

  // Needs route below the number given, or it aborts.
  void add(size_t route, std::chrono::nanoseconds took);

  struct Histogram {
    std::array<uint64_t, kBuckets.size()> up_to{};  // answers that took no longer than the bucket's end
    uint64_t count = 0;
    double seconds = 0;
  };
  [[nodiscard]] Histogram of(size_t route) const;

 private:
  struct Counts {
    std::array<std::atomic<uint64_t>, kBuckets.size() + 1> in_bucket{};
    std::atomic<uint64_t> nanoseconds{0};
  };
  std::vector<Counts> routes_;
};

}  // namespace portbook
