// The little of CBOR (RFC 8949) that records use: definite-length heads in shortest form, no floats, no tags.
#pragma once

#include <string>

#include "base/bytes.h"

namespace portbook {

enum class CborMajor : uint8_t { kUnsigned = 0, kNegative = 1, kBytes = 2, kText = 3, kMap = 5, kSimple = 7 };

// One data item's head with its string content. Source: RFC 8949 section 3.
struct CborItem {
  CborMajor major = CborMajor::kUnsigned;
  uint64_t value = 0;  // the number; ~number for kNegative; entries of a map; 20 or 21 for false and true
  ByteView bytes;      // content of kBytes and kText; valid as long as the reader's input
};

// Walks over items front to back. Never reads beyond its input.
class CborReader {
 public:
  explicit CborReader(ByteView input) : input_(input) {}
  // The next item. False, without moving, if it is not deterministic (section 4.2.1), of another major type, or cut short.
  bool next(CborItem& item) {
    if (offset_ >= input_.size()) return false;
    const Byte first = input_[offset_];
    const auto low = static_cast<Byte>(first & 31);
    const auto major = static_cast<CborMajor>(first >> 5);
    // Most keys and many values are one byte.
    if (low >= 24 || major > CborMajor::kNegative) return next_long(item);
    item = {major, low, {}};
    ++offset_;
    return true;
  }
  [[nodiscard]] size_t offset() const { return offset_; }

 private:
  bool next_long(CborItem& item);

  ByteView input_;
  size_t offset_ = 0;
};

inline constexpr size_t kCborHeadBytesMax = 9;

// Writes a head in shortest form and returns what follows it. Needs room for kCborHeadBytesMax bytes at `to`.
inline Byte* write_cbor_head(Byte* to, CborMajor major, uint64_t value) {
  const auto top = static_cast<Byte>(static_cast<Byte>(major) << 5);
  if (value < 24) {
    *to = static_cast<Byte>(top | value);
    return to + 1;
  }
  const unsigned log2_width = value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffff'ffff ? 2 : 3;
  *to = static_cast<Byte>(top | (24 + log2_width));
  store_big(to + 1, value << (64 - (8U << log2_width)));
  return to + 1 + (size_t{1} << log2_width);
}

// The same with `content` behind the head; needs room for that too.
inline Byte* write_cbor_string(Byte* to, CborMajor major, ByteView content) {
  to = write_cbor_head(to, major, content.size());
  if (!content.empty()) std::memcpy(to, content.data(), content.size());
  return to + content.size();
}

void append_cbor_head(Bytes& out, CborMajor major, uint64_t value);
void append_cbor_string(Bytes& out, CborMajor major, ByteView content);

// Other named values of a record: one CBOR map from text to text, bytes, integer or boolean, keys in bytewise order of their
// encoding. True iff `bytes` is exactly one such map.
bool is_canonical_attrs(ByteView bytes);
// Appends the map as a JSON object; needs is_canonical_attrs(bytes).
void append_attrs_json(ByteView bytes, std::string& out);

}  // namespace portbook
