#include "record/cbor_item.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "record/json.h"

namespace portbook {

bool CborReader::next_long(CborItem& item) {
  const Byte first = input_[offset_];
  const auto low = static_cast<Byte>(first & 31);
  item.major = static_cast<CborMajor>(first >> 5);
  size_t at = offset_ + 1;
  if (low < 24) {
    item.value = low;
  } else {
    if (low > 27) return false;
    const size_t width = size_t{1} << (low - 24);
    if (input_.size() - at < width) return false;
    const Byte* const number = input_.data() + at;
    item.value = width == 1   ? *number
                 : width == 2 ? load_big<uint16_t>(number)
                 : width == 4 ? load_big<uint32_t>(number)
                              : load_big<uint64_t>(number);
    at += width;
    const uint64_t shorter_max = width == 1 ? 23 : (uint64_t{1} << (width * 4)) - 1;
    if (item.value <= shorter_max) return false;
  }
  item.bytes = {};
  switch (item.major) {
    case CborMajor::kUnsigned:
    case CborMajor::kNegative:
    case CborMajor::kMap: break;
    case CborMajor::kBytes:
    case CborMajor::kText:
      if (item.value > input_.size() - at) return false;
      item.bytes = input_.subspan(at, static_cast<size_t>(item.value));
      at += static_cast<size_t>(item.value);
      break;
    case CborMajor::kSimple:
      if (first != 0xf4 && first != 0xf5) return false;  // only false and true
      break;
    default: return false;
  }
  offset_ = at;
  return true;
}

void append_cbor_head(Bytes& out, CborMajor major, uint64_t value) {
  Byte raw[kCborHeadBytesMax];
  out.insert(out.end(), raw, write_cbor_head(raw, major, value));
}

void append_cbor_string(Bytes& out, CborMajor major, ByteView content) {
  append_cbor_head(out, major, content.size());
  append(out, content);
}

namespace {

// Calls visit(key, value) for each entry; false if `bytes` is not one map of allowed values.
template <typename Visit>
bool walk_attrs(ByteView bytes, Visit visit) {
  CborReader reader(bytes);
  CborItem map;
  if (!reader.next(map) || map.major != CborMajor::kMap) return false;
  for (uint64_t i = 0; i < map.value; ++i) {
    CborItem key;
    CborItem value;
    const size_t key_at = reader.offset();
    if (!reader.next(key) || key.major != CborMajor::kText || !is_utf8(key.bytes)) return false;
    const ByteView encoded_key = bytes.subspan(key_at, reader.offset() - key_at);
    if (!reader.next(value) || value.major == CborMajor::kMap) return false;
    if (value.major == CborMajor::kText && !is_utf8(value.bytes)) return false;
    if (!visit(encoded_key, key, value)) return false;
  }
  return reader.offset() == bytes.size();
}

}  // namespace

bool is_canonical_attrs(ByteView bytes) {
  ByteView previous;
  return walk_attrs(bytes, [&](ByteView encoded_key, const CborItem&, const CborItem&) {
    const bool ascending = previous.empty() || std::ranges::lexicographical_compare(previous, encoded_key);
    previous = encoded_key;
    return ascending;
  });
}

void append_attrs_json(ByteView bytes, std::string& out) {
  out += '{';
  bool first = true;
  const bool whole = walk_attrs(bytes, [&](ByteView, const CborItem& key, const CborItem& value) {
    if (!first) out += ',';
    first = false;
    append_json_string(as_text(key.bytes), out);
    out += ':';
    switch (value.major) {
      case CborMajor::kText: append_json_string(as_text(value.bytes), out); break;
      case CborMajor::kBytes: out += "{\"hex\":\"" + hex(value.bytes) + "\"}"; break;
      case CborMajor::kSimple: out += value.value == 21 ? "true" : "false"; break;
      case CborMajor::kNegative:
        // -1 - value, which 64 bits hold unless value is 2^64 - 1.
        out += value.value == UINT64_MAX ? std::string("-18446744073709551616") : "-" + std::to_string(value.value + 1);
        break;
      default: out += std::to_string(value.value); break;
    }
    return true;
  });
  PB_CHECK(whole);
  out += '}';
}

}  // namespace portbook
