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

// Programs give each event the next number of its CPU; for one that they have to drop they count a loss first and give a number
// after. So numbers = arrived + lost + on their way, and a loss is known, exactly, as soon as it is looked for. The numbers are the
// proof beside it: one that neither arrived nor was counted, though the ring was emptied again and again, is lost as well.
// Counting needs no order: an interrupt may swap two events of one CPU. Owned by one thread.
class LossMeter {
 public:
  // An event may have its number before it is in the ring: so long may that take.
  static constexpr uint64_t kOnTheWayNs = 1'000'000'000;

  LossMeter(size_t cpus, uint64_t boot_ns) : cpus_(cpus), looked_at_(boot_ns), proven_until_(boot_ns) {}

  // `given`: the last number of each CPU; `lost`: its losses, read after that. Both at `boot_ns`, or a little later. Cheap: worth
  // it also while the ring is left alone, so that a loss is known to the millisecond. Returns the losses since the look before.
  std::optional<Loss> look(std::span<const uint64_t> given, std::span<const uint64_t> lost, uint64_t boot_ns);
  // One numbered event arrived. A cpu outside of the machine's is ignored.
  void received(uint32_t cpu, uint64_t seq);
  // All that was in the ring at the last look has been taken. Returns what is missing without having been counted.
  std::optional<Loss> emptied();
  // Every number that was given up to that moment is accounted for.
  [[nodiscard]] uint64_t proven_until() const { return proven_until_; }
  // Events that arrived.
  [[nodiscard]] uint64_t arrived() const { return arrived_; }

 private:
  struct Cpu {
    uint64_t given = 0;
    uint64_t lost = 0;
    uint64_t accounted = 0;  // numbers up to `given` that arrived or are written off
    uint64_t ahead = 0;      // numbers beyond `given` that arrived
  };
  std::vector<Cpu> cpus_;
  uint64_t looked_at_;
  uint64_t proven_until_;
  uint64_t arrived_ = 0;
  std::optional<uint64_t> missing_since_;
};

}  // namespace portbook
