// Reads little-endian values from bytes that may lie: every read says whether there was enough.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace portbook {

class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : rest_(bytes) {}

  template <typename T>
  [[nodiscard]] bool take(T& value) {
    if (rest_.size() < sizeof(T)) return false;
    value = load_little<T>(rest_.data());
    rest_ = rest_.subspan(sizeof(T));
    return true;
  }
  [[nodiscard]] bool take_bytes(size_t count, ByteView& bytes) {
    if (rest_.size() < count) return false;
    bytes = rest_.first(count);
    rest_ = rest_.subspan(count);
    return true;
  }
  // LEB128, at most as many bits as T has.
  template <typename T>
  [[nodiscard]] bool take_varint(T& value) {
    constexpr unsigned kBits = sizeof(T) * 8;
    constexpr unsigned kLastShift = (kBits - 1) / 7 * 7;
    value = 0;
    for (unsigned shift = 0; shift <= kLastShift; shift += 7) {
      if (rest_.empty()) return false;
      const Byte byte = rest_.front();
      rest_ = rest_.subspan(1);
      if (shift == kLastShift && byte >> (kBits - kLastShift) != 0) return false;
      value |= T{byte & 127U} << shift;
      if (byte < 128) return true;
    }
    return false;
  }
  [[nodiscard]] ByteView rest() const { return rest_; }
  [[nodiscard]] bool done() const { return rest_.empty(); }

 private:
  ByteView rest_;
};

inline void append_varint(Bytes& out, uint64_t value) {
  for (; value >= 128; value >>= 7) out.push_back(static_cast<Byte>(value | 128));
  out.push_back(static_cast<Byte>(value));
}

}  // namespace portbook
