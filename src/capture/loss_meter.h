// Proves that every event which the kernel programs numbered has arrived, and says exactly how many did not.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace portbook {

struct Loss {
  uint64_t count = 0;
  uint64_t from_boot_ns = 0;  // nothing was missing up to here
  uint64_t to_boot_ns = 0;
};

// Programs give each event, lost ones too, the next number of its CPU. A number that was given before the ring was found empty and
// has still not arrived kPasses such passes later is lost. Counting needs no order: an interrupt may swap two events of one CPU.
// Use: begin(), received() for each event until the ring is empty, end(). Owned by one thread.
class LossMeter {
 public:
  static constexpr uint32_t kPasses = 4;  // an event may be numbered, but not yet submitted

  LossMeter(size_t cpus, uint64_t boot_ns) : cpus_(cpus), whole_until_(boot_ns) {}

  // `given`: the last number of each CPU, read at `boot_ns`, before the first event of this pass is taken.
  void begin(std::span<const uint64_t> given, uint64_t boot_ns);
  // One numbered event arrived. A cpu outside of the machine's is ignored.
  void received(uint32_t cpu, uint64_t seq);
  // The ring was drained until it was empty; a pass that stops earlier has no end().
  std::optional<Loss> end();

 private:
  struct Cpu {
    uint64_t given = 0;
    uint64_t accounted = 0;  // numbers up to `given` that arrived or are written off
    uint64_t ahead = 0;      // numbers beyond `given` that arrived
    uint32_t deficit_passes = 0;
  };
  std::vector<Cpu> cpus_;
  uint64_t began_ = 0;
  uint64_t whole_until_;
};

}  // namespace portbook
