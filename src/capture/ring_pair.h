// A ring, and the one that takes what nothing repeats while the first is full: their events in one order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "capture/event_ring.h"

namespace portbook {

// Owned by one thread. `Event` is a struct with a `time`, of which each record is one.
template <typename Event>
class RingPair {
 public:
  RingPair() = default;
  RingPair(EventRing ring, EventRing overflow) : ring_(std::move(ring)), overflow_(std::move(overflow)) {}

  // Hands over events, of the ring at most `maximum`; one of the overflow never before a ring's event that is older: an end does
  // not come before its beginning. True when everything that was reserved before the call was handed over.
  template <typename Take>
  bool drain(size_t maximum, const Take& take) {
    // Read first: whatever led to an event up to here is in the ring by now.
    const uint64_t overflow_end = overflow_.end();
    if (overflow_.is_taken(overflow_end)) {
      return ring_.drain(maximum, [&take](std::string_view bytes) {
        if (bytes.size() >= sizeof(Event)) take(*reinterpret_cast<const Event*>(bytes.data()));
      });
    }
    held_.clear();
    uint64_t newest = 0;
    const bool ring_whole = ring_.drain(maximum, [&](std::string_view bytes) { newest = std::max(newest, hold(bytes)); });
    // Of a ring that has more, what is behind came after what was taken.
    const bool overflow_whole = overflow_.drain_to(overflow_end, SIZE_MAX, [&](std::string_view bytes) {
      if (!ring_whole && time_of(bytes) > newest) return false;
      hold(bytes);
      return true;
    });
    order_.clear();
    for (size_t i = 0; i < held_.size(); ++i) order_.emplace_back(held_[i].time, i);
    std::ranges::sort(order_);
    for (const auto& [time, at] : order_) take(held_[at]);
    return ring_whole && overflow_whole;
  }

 private:
  static uint64_t time_of(std::string_view bytes) {
    return bytes.size() < sizeof(Event) ? 0 : reinterpret_cast<const Event*>(bytes.data())->time;
  }
  uint64_t hold(std::string_view bytes) {
    if (bytes.size() < sizeof(Event)) return 0;
    std::memcpy(&held_.emplace_back(), bytes.data(), sizeof(Event));
    return held_.back().time;
  }

  EventRing ring_;
  EventRing overflow_;
  std::vector<Event> held_;                         // of one call
  std::vector<std::pair<uint64_t, size_t>> order_;  // of these
};

}  // namespace portbook
