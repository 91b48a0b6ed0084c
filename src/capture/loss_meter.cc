#include "capture/loss_meter.h"

#include "base/check.h"

namespace portbook {

void LossMeter::begin(std::span<const uint64_t> given, uint64_t boot_ns) {
  PB_CHECK(given.size() == cpus_.size());
  began_ = boot_ns;
  for (size_t i = 0; i < cpus_.size(); ++i) {
    Cpu& cpu = cpus_[i];
    cpu.given = given[i];
    cpu.accounted += cpu.ahead;
    cpu.ahead = 0;
  }
}

void LossMeter::received(uint32_t cpu, uint64_t seq) {
  if (cpu >= cpus_.size()) return;
  ++(seq <= cpus_[cpu].given ? cpus_[cpu].accounted : cpus_[cpu].ahead);
}

std::optional<Loss> LossMeter::end() {
  Loss loss{0, whole_until_, began_};
  bool whole = true;
  for (Cpu& cpu : cpus_) {
    if (cpu.given <= cpu.accounted) {
      cpu.deficit_passes = 0;
      continue;
    }
    whole = false;
    if (++cpu.deficit_passes < kPasses) continue;
    loss.count += cpu.given - cpu.accounted;
    cpu.accounted = cpu.given;
    cpu.deficit_passes = 0;
  }
  if (whole || loss.count > 0) whole_until_ = began_;
  if (loss.count == 0) return std::nullopt;
  return loss;
}

}  // namespace portbook
