// A kernel program's ring buffer, read through its mapped pages: no system calls, and it is known whether all of it was taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace portbook {

// Owned by one thread. Only one reader may map a ring.
class EventRing {
 public:
  // Maps a BPF_MAP_TYPE_RINGBUF of `bytes`. The descriptor is not needed afterwards. Errors: kIo.
  static Result<EventRing> map(int fd, size_t bytes);
  // Without a ring: always empty.
  EventRing() = default;
  EventRing(EventRing&& other) noexcept;
  EventRing& operator=(EventRing&& other) noexcept;
  ~EventRing();

  // Hands at most `maximum` submitted records, oldest first, to take(std::string_view), valid during the call. True when everything
  // that was reserved before the call has been taken or thrown away by its writer: nothing is on its way.
  // Source: kernel/bpf/ringbuf.c, struct bpf_ringbuf and bpf_ringbuf_hdr.
  template <typename Take>
  bool drain(size_t maximum, const Take& take) {
    return drain_to(end(), maximum, [&take](std::string_view bytes) {
      take(bytes);
      return true;
    });
  }

  // What was reserved so far, for drain_to(). 0 without a ring.
  [[nodiscard]] uint64_t end() const { return producer_ == nullptr ? 0 : __atomic_load_n(producer_, __ATOMIC_ACQUIRE); }
  // Whether everything up to that end was taken.
  [[nodiscard]] bool is_taken(uint64_t end) const { return consumer_ == nullptr || *consumer_ >= end; }
  // As drain(), of what was reserved when end() said `end`; a record for which take() is false stays, and all behind it.
  template <typename Take>
  bool drain_to(uint64_t end, size_t maximum, const Take& take) {
    if (consumer_ == nullptr) return true;
    uint64_t at = *consumer_;
    for (size_t taken = 0; at < end; ++taken) {
      if (taken == maximum) return false;
      const std::byte* head = data_ + (at & (bytes_ - 1));
      const uint32_t length = __atomic_load_n(reinterpret_cast<const uint32_t*>(head), __ATOMIC_ACQUIRE);
      if ((length & kBusy) != 0) return false;
      const uint32_t size = length & ~(kBusy | kDiscarded);
      if ((length & kDiscarded) == 0 && !take(std::string_view(reinterpret_cast<const char*>(head) + kHeadBytes, size)))
        return false;
      at += (uint64_t{size} + kHeadBytes + 7) / 8 * 8;
      __atomic_store_n(consumer_, at, __ATOMIC_RELEASE);
    }
    return true;
  }

 private:
  static constexpr uint32_t kBusy = 1u << 31;
  static constexpr uint32_t kDiscarded = 1u << 30;
  static constexpr size_t kHeadBytes = 8;

  uint64_t* consumer_ = nullptr;  // its own page
  const uint64_t* producer_ = nullptr;
  const std::byte* data_ = nullptr;  // mapped twice in a row, so that no record wraps
  size_t bytes_ = 0;
};

}  // namespace portbook
