// Netlink attributes in untrusted bytes (linux/netlink.h: u16 length with header, u16 type, payload, padded to 4).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace portbook {

// Calls visit(type, payload) for each attribute. False when one does not fit; those before it were visited.
template <typename Visit>
bool for_each_attribute(ByteView bytes, Visit visit) {
  constexpr size_t kHeader = 4;
  constexpr uint16_t kTypeMask = 0x3fff;  // without the nested and byte order flags
  while (bytes.size() >= kHeader) {
    uint16_t length = 0;
    uint16_t type = 0;
    std::memcpy(&length, bytes.data(), 2);
    std::memcpy(&type, bytes.data() + 2, 2);
    if (length < kHeader || length > bytes.size()) return false;
    visit(static_cast<uint16_t>(type & kTypeMask), bytes.subspan(kHeader, length - kHeader));
    bytes = bytes.subspan(std::min<size_t>((length + 3u) & ~3u, bytes.size()));
  }
  return true;
}

// A big-endian integer; leaves `out` as it is where the payload has another size.
template <typename T>
void take_big(ByteView payload, T& out) {
  if (payload.size() == sizeof(T)) out = load_big<T>(payload.data());
}

}  // namespace portbook
