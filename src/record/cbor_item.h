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
  bool next(CborItem& item);
  [[nodiscard]] size_t offset() const { return offset_; }

 private:
  ByteView input_;
  size_t offset_ = 0;
};

// Appends a head in shortest form.
void append_cbor_head(Bytes& out, CborMajor major, uint64_t value);
void append_cbor_string(Bytes& out, CborMajor major, ByteView content);

// Other named values of a record: one CBOR map from text to text, bytes, integer or boolean, keys in bytewise order of their
// encoding. True iff `bytes` is exactly one such map.
bool is_canonical_attrs(ByteView bytes);
// Appends the map as a JSON object; needs is_canonical_attrs(bytes).
void append_attrs_json(ByteView bytes, std::string& out);

}  // namespace portbook
