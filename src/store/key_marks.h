// What an index run says of a key in a block beyond that it is there: what may be passed over without reading the block.
#pragma once

#include <algorithm>
#include <bit>

#include "base/clock.h"

namespace portbook {

// One byte. Marks speak of connections and leases: records of kinds open, close, failed, existing, nat_open and nat_close with a
// time. They may promise too much (a block is read in vain), never too little.
//
// The lowest five bits say how long before the block's `begins` the first of them may have begun: 0 not before it, n less than
// 2^(n+29) ns before it, kReachAny at any time.
using KeyMarks = uint8_t;
inline constexpr KeyMarks kReachMask = 31;
inline constexpr KeyMarks kReachAny = 31;
inline constexpr KeyMarks kMarkOpen = 32;    // of one of them the block does not say that it ended
inline constexpr KeyMarks kMarkListen = 64;  // a `listen` record has the key
inline constexpr KeyMarks kMarkLease = 128;  // a record of vantage nat, or of kind nat_open or nat_close, has it

inline constexpr unsigned kReachShift = 29;

// The reach of what began `before_ns` before the block's `begins`.
constexpr KeyMarks reach_of(uint64_t before_ns) {
  if (before_ns == 0) return 0;
  const auto bits = static_cast<unsigned>(std::bit_width(before_ns));  // before_ns < 2^bits
  const unsigned reach = bits <= kReachShift + 1 ? 1 : bits - kReachShift;
  return static_cast<KeyMarks>(std::min<unsigned>(reach, kReachAny));
}

// Marks of two records of one key.
constexpr KeyMarks join_marks(KeyMarks a, KeyMarks b) {
  const int reach = std::max(a & kReachMask, b & kReachMask);
  return static_cast<KeyMarks>(((a | b) & ~kReachMask) | reach);
}

// All that a key's connections and leases in a block may have been there.
struct KeySpan {
  TimeNs from = 0;
  TimeNs to = UINT64_MAX;
  [[nodiscard]] constexpr bool meets(TimeNs low, TimeNs high) const { return from <= high && to >= low; }
};

// `begins`, `ends`: the block's, see BlockKeys.
constexpr KeySpan span_of(TimeNs begins, TimeNs ends, KeyMarks marks) {
  KeySpan span{begins, (marks & kMarkOpen) != 0 ? UINT64_MAX : ends};
  const unsigned reach = marks & kReachMask;
  if (reach == kReachAny) {
    span.from = 0;
  } else if (reach > 0) {
    span.from -= std::min(begins, uint64_t{1} << (reach + kReachShift));
  }
  return span;
}

}  // namespace portbook
