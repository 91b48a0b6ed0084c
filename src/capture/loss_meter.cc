#include "capture/loss_meter.h"

#include <utility>

#include "base/check.h"

namespace portbook {

std::optional<Loss> LossMeter::look(std::span<const uint64_t> given, std::span<const uint64_t> lost, uint64_t boot_ns) {
  PB_CHECK(given.size() == cpus_.size() && lost.size() == cpus_.size());
  Loss loss{0, std::exchange(looked_at_, boot_ns), boot_ns};
  for (size_t i = 0; i < cpus_.size(); ++i) {
    Cpu& cpu = cpus_[i];
    loss.count += lost[i] - cpu.lost;
    cpu.lost = lost[i];
    cpu.given = given[i];
    cpu.accounted += std::exchange(cpu.ahead, 0);
  }
  if (loss.count == 0) return std::nullopt;
  return loss;
}

void LossMeter::received(uint32_t cpu, uint64_t seq) {
  if (cpu >= cpus_.size()) return;
  ++arrived_;
  ++(seq <= cpus_[cpu].given ? cpus_[cpu].accounted : cpus_[cpu].ahead);
}

std::optional<Loss> LossMeter::emptied() {
  uint64_t missing = 0;
  for (const Cpu& cpu : cpus_) {
    const uint64_t known = cpu.accounted + cpu.lost;
    if (cpu.given > known) missing += cpu.given - known;
  }
  if (missing == 0) {
    missing_since_.reset();
    proven_until_ = looked_at_;
    return std::nullopt;
  }
  if (!missing_since_) missing_since_ = looked_at_;
  if (looked_at_ < *missing_since_ + kOnTheWayNs) return std::nullopt;
  for (Cpu& cpu : cpus_) {
    if (cpu.given > cpu.accounted + cpu.lost) cpu.accounted = cpu.given - cpu.lost;
  }
  missing_since_.reset();
  return Loss{missing, std::exchange(proven_until_, looked_at_), looked_at_};
}

}  // namespace portbook
