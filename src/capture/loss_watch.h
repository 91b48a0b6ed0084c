// What became of the events of one kind: a loss that goes on is one gap, and what waits in the kernel is asked for.
#pragma once

#include <optional>

#include "capture/loss_meter.h"

namespace portbook {

// Owned by one thread.
class LossWatch {
 public:
  LossWatch(size_t cpus, uint64_t boot_ns) : meter_(cpus, boot_ns), looked_at_(boot_ns) {}

  // As LossMeter::look(); `parked`: how many beginnings found the ring full so far.
  void look(std::span<const uint64_t> given, std::span<const uint64_t> lost, uint64_t parked, uint64_t boot_ns);
  // An event arrived; one without a number is from a snapshot.
  void received(uint32_t cpu, uint64_t seq) {
    if (seq != 0) meter_.received(cpu, seq);
  }
  // All that was there at the last look has been taken.
  void emptied();

  // A loss to be written: over, or a second long, or with `any` each that is known. A connection whose beginning waited for room
  // may have gone with its end, so the loss reaches back to when the first of those that still wait came.
  std::optional<Loss> take(bool any);

  // Something waits in the kernel, or was lost: the kernel must be asked what there is. Until swept().
  [[nodiscard]] bool sweep_wanted() const { return sweep_wanted_; }
  void want_sweep() { sweep_wanted_ = true; }
  // The kernel is asked, and has told all that waited when it was.
  void sweep_begins();
  void swept();
  // Of what happened up to that moment every event has arrived or is in a loss that was taken; nothing waits in the kernel.
  [[nodiscard]] uint64_t known_until() const;

 private:
  void note(const Loss& loss);

  LossMeter meter_;
  uint64_t looked_at_;
  uint64_t parked_ = 0;
  uint64_t parked_at_sweep_ = 0;
  std::optional<uint64_t> owed_since_;  // no beginning waited before that moment
  std::optional<Loss> pending_;
  bool goes_on_ = false;  // the newest look added to pending_
  bool sweep_wanted_ = false;
};

}  // namespace portbook
