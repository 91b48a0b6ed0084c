#include "base/bytes.h"

#include <simdjson.h>

namespace portbook {

std::string hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const Byte b : bytes) {
    out.push_back(kDigits[b >> 4]);
    out.push_back(kDigits[b & 15]);
  }
  return out;
}

namespace {
constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

constexpr auto kHexValues = [] {
  std::array<uint8_t, 256> values;
  values.fill(0xff);
  for (unsigned i = 0; i < 10; ++i) values['0' + i] = static_cast<uint8_t>(i);
  for (unsigned i = 0; i < 6; ++i) values['a' + i] = values['A' + i] = static_cast<uint8_t>(10 + i);
  return values;
}();
}  // namespace

std::string base64(ByteView bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t group =
        uint32_t{bytes[i]} << 16 | (left > 1 ? uint32_t{bytes[i + 1]} << 8 : 0) | (left > 2 ? uint32_t{bytes[i + 2]} : 0);
    out.push_back(kBase64[group >> 18]);
    out.push_back(kBase64[group >> 12 & 63]);
    out.push_back(left > 1 ? kBase64[group >> 6 & 63] : '=');
    out.push_back(left > 2 ? kBase64[group & 63] : '=');
  }
  return out;
}

bool parse_base64(std::string_view text, Bytes& out) {
  out.clear();
  if (text.size() % 4 != 0) return false;
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const int padding = !last ? 0 : text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
    uint32_t group = 0;
    for (int k = 0; k < 4; ++k) {
      const int value = k >= 4 - padding ? 0 : base64_value(text[i + static_cast<size_t>(k)]);
      if (value < 0) return false;
      group = group << 6 | static_cast<uint32_t>(value);
    }
    if ((padding == 1 && (group & 0xff) != 0) || (padding == 2 && (group & 0xffff) != 0)) return false;
    out.push_back(static_cast<Byte>(group >> 16));
    if (padding < 2) out.push_back(static_cast<Byte>(group >> 8));
    if (padding < 1) out.push_back(static_cast<Byte>(group));
  }
  return true;
}

bool parse_hex(std::string_view text, Bytes& out) {
  out.resize(text.size() / 2);
  return text.size() % 2 == 0 && parse_hex(text, std::span(out));
}

bool parse_hex(std::string_view text, std::span<Byte> out) {
  if (text.size() != 2 * out.size()) return false;
  unsigned any = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const unsigned high = kHexValues[static_cast<Byte>(text[2 * i])];
    const unsigned low = kHexValues[static_cast<Byte>(text[2 * i + 1])];
    any |= high | low;
    out[i] = static_cast<Byte>(high << 4 | low);
  }
  return any < 16;
}

bool is_utf8(ByteView bytes) {
  // Nearly every text here is short ASCII, for which the library's dispatch costs more than the look.
  Byte any = 0;
  if (bytes.size() <= 64) {
    for (const Byte b : bytes) any |= b;
    if (any < 0x80) return true;
  }
  return simdjson::validate_utf8(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace portbook
