// Byte strings and fixed integers in stated byte order.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace portbook {

using Byte = uint8_t;
using Bytes = std::vector<Byte>;
using ByteView = std::span<const Byte>;

// The bytes of `text`; valid as long as `text`'s storage.
inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const Byte*>(text.data()), text.size()};
}

// The characters of `bytes`; valid as long as `bytes`' storage.
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void append(Bytes& out, ByteView more) {
  out.insert(out.end(), more.begin(), more.end());
}

// Loads and stores of unsigned integers; `from` and `to` need sizeof(T) bytes, unaligned is fine.
template <typename T>
T load_big(const Byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) value = std::byteswap(value);
  return value;
}
template <typename T>
void store_big(Byte* to, T value) {
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) value = std::byteswap(value);
  std::memcpy(to, &value, sizeof value);
}
template <typename T>
T load_little(const Byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  if constexpr (std::endian::native == std::endian::big && sizeof(T) > 1) value = std::byteswap(value);
  return value;
}
template <typename T>
void store_little(Byte* to, T value) {
  if constexpr (std::endian::native == std::endian::big && sizeof(T) > 1) value = std::byteswap(value);
  std::memcpy(to, &value, sizeof value);
}
template <typename T>
void append_big(Bytes& out, T value) {
  std::array<Byte, sizeof(T)> raw;
  store_big(raw.data(), value);
  append(out, raw);
}
template <typename T>
void append_little(Bytes& out, T value) {
  std::array<Byte, sizeof(T)> raw;
  store_little(raw.data(), value);
  append(out, raw);
}

// Lower-case hexadecimal, two digits a byte.
std::string hex(ByteView bytes);
// Standard base64 with padding (RFC 4648 section 4).
std::string base64(ByteView bytes);
// Strict: padding required, no white space, no non-canonical tail bits. False if `text` is not such base64.
bool parse_base64(std::string_view text, Bytes& out);
// False if `text` is not an even number of hexadecimal digits.
bool parse_hex(std::string_view text, Bytes& out);
// False if `text` is not as many hexadecimal digits as fill `out`, which then holds nothing of use.
bool parse_hex(std::string_view text, std::span<Byte> out);
// True iff `bytes` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF).
bool is_utf8(ByteView bytes);

}  // namespace portbook
