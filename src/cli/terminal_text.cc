#include "cli/terminal_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace portbook {

namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

// Unicode 15, UAX #11: East_Asian_Width W and F, in blocks as wide as terminals take them.
constexpr auto kWide = std::to_array<Range>(
    {{0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},   {0x25FD, 0x25FE},   {0x2614, 0x2615},
     {0x2648, 0x2653},   {0x2693, 0x2693},   {0x26A1, 0x26A1},   {0x26BD, 0x26BE},   {0x26D4, 0x26D4},   {0x2705, 0x2705},
     {0x2728, 0x2728},   {0x274C, 0x274C},   {0x2753, 0x2755},   {0x2795, 0x2797},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},
     {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97C},
     {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE10, 0xFE19},   {0xFE30, 0xFE6F},   {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},
     {0x16FE0, 0x18CD5}, {0x1B000, 0x1B2FB}, {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A},
     {0x1F200, 0x1F320}, {0x1F32D, 0x1F64F}, {0x1F680, 0x1F6FC}, {0x1F7E0, 0x1F7EB}, {0x1F90C, 0x1FAF8}, {0x20000, 0x3FFFD}});

// Marks that are drawn over what stands before them (general categories Mn, Me, Cf), in the blocks that names are written with.
constexpr auto kNoWidth = std::to_array<Range>(
    {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},  {0x0670, 0x0670},
     {0x06D6, 0x06DC}, {0x093C, 0x093C}, {0x0941, 0x0948}, {0x094D, 0x094D}, {0x0E31, 0x0E31},  {0x0E34, 0x0E3A},
     {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200D}, {0x20D0, 0x20FF},  {0x302A, 0x302D},
     {0x3099, 0x309A}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF}});

// What no text may send: controls, and what makes a line be read otherwise than it is written.
constexpr auto kNotText = std::to_array<Range>({{0x00, 0x1F}, {0x7F, 0x9F}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F}});

template <size_t N>
bool within(const std::array<Range, N>& ranges, uint32_t point) {
  const auto* one = std::ranges::lower_bound(ranges, point, {}, &Range::last);
  return one != ranges.end() && one->first <= point;
}

struct Character {
  uint32_t point = 0;
  size_t bytes = 1;
  bool valid = false;  // else one byte that is no UTF-8
};

// The character at the beginning of a text that is not empty. Source: RFC 3629 section 4.
Character first_of(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  uint32_t point = lead & (0x7FU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    point = point << 6 | (byte(i) & 0x3FU);
  }
  constexpr std::array<uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kLeast[bytes] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return {};
  return {point, bytes, true};
}

size_t width_of(uint32_t point) {
  if (point < 0x300) return 1;
  return within(kNoWidth, point) ? 0 : within(kWide, point) ? 2 : 1;
}

bool plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7F; });
}

}  // namespace

std::string printable(std::string_view text) {
  if (plain(text)) return std::string(text);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Character one = first_of(text.substr(at));
    if (one.valid && !within(kNotText, one.point)) {
      out += text.substr(at, one.bytes);
    } else {
      out += '?';
    }
    at += one.bytes;
  }
  return out;
}

std::string printable_json(std::string_view json) {
  if (std::ranges::all_of(json, [](char c) { return static_cast<uint8_t>(c) < 0x7F; })) return std::string(json);
  std::string out;
  size_t kept = 0;
  for (size_t at = 0; at < json.size();) {
    const Character one = first_of(json.substr(at));
    if (one.valid && one.point >= 0x7F && within(kNotText, one.point)) {
      out += json.substr(kept, at - kept);
      out += fmt::format("\\u{:04x}", one.point);
      kept = at + one.bytes;
    }
    at += one.bytes;
  }
  return out += json.substr(kept);
}

size_t display_width(std::string_view text) {
  if (plain(text)) return text.size();
  size_t width = 0;
  for (size_t at = 0; at < text.size();) {
    const Character one = first_of(text.substr(at));
    width += width_of(one.point);
    at += one.bytes;
  }
  return width;
}

std::string cut_to_width(std::string_view text, size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  size_t width = 0;
  size_t at = 0;
  while (at < text.size()) {
    const Character one = first_of(text.substr(at));
    const size_t wide = width_of(one.point);
    if (width + wide + 1 > columns) break;
    width += wide;
    at += one.bytes;
  }
  return columns == 0 ? "" : std::string(text.substr(0, at)) + "…";
}

}  // namespace portbook
