#include "capture/loss_watch.h"

#include <algorithm>
#include <utility>

namespace portbook {

namespace {
// A loss that lasts is told in parts of this length.
constexpr uint64_t kPartNs = 1'000'000'000;
}  // namespace

void LossWatch::look(std::span<const uint64_t> given, std::span<const uint64_t> lost, uint64_t parked, uint64_t boot_ns) {
  const auto loss = meter_.look(given, lost, boot_ns);
  goes_on_ = loss.has_value();
  if (loss) note(*loss);
  if (parked != parked_) {
    if (!owed_since_) owed_since_ = looked_at_;
    sweep_wanted_ = true;
  }
  parked_ = parked;
  looked_at_ = boot_ns;
}

void LossWatch::emptied() {
  if (const auto missing = meter_.emptied()) note(*missing);
}

void LossWatch::note(const Loss& loss) {
  if (!pending_) {
    pending_ = loss;
    return;
  }
  pending_->count += loss.count;
  pending_->from_boot_ns = std::min(pending_->from_boot_ns, loss.from_boot_ns);
  pending_->to_boot_ns = std::max(pending_->to_boot_ns, loss.to_boot_ns);
}

std::optional<Loss> LossWatch::take(bool any) {
  if (!pending_) return std::nullopt;
  if (!any && goes_on_ && pending_->to_boot_ns < pending_->from_boot_ns + kPartNs) return std::nullopt;
  Loss loss = *std::exchange(pending_, std::nullopt);
  if (owed_since_) loss.from_boot_ns = std::min(loss.from_boot_ns, *owed_since_);
  sweep_wanted_ = true;
  return loss;
}

void LossWatch::sweep_begins() {
  parked_at_sweep_ = parked_;
  sweep_wanted_ = false;
}

void LossWatch::swept() {
  if (parked_ == parked_at_sweep_) owed_since_.reset();
}

uint64_t LossWatch::known_until() const {
  uint64_t until = meter_.proven_until();
  if (owed_since_) until = std::min(until, *owed_since_);
  if (pending_) until = std::min(until, pending_->from_boot_ns);
  return until;
}

}  // namespace portbook
