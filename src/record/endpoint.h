// Addresses, endpoints and networks, and how people write them.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace portbook {

// An IPv4 or IPv6 address in the 16-byte form; IPv4 stands as ::ffff:a.b.c.d, so IPv4-mapped IPv6 and IPv4 are one value.
struct Ip {
  std::array<Byte, 16> bytes{};

  auto operator<=>(const Ip&) const = default;
  [[nodiscard]] bool is_v4() const;
  [[nodiscard]] bool is_loopback() const;     // 127.0.0.0/8, ::1
  [[nodiscard]] bool is_unspecified() const;  // 0.0.0.0, ::
  // 4 bytes for IPv4, 16 for IPv6; valid as long as this object.
  [[nodiscard]] ByteView canonical() const;

  static Ip v4(const Byte* four_bytes);
  static Ip v4(uint32_t host_order);
  static Ip v6(const Byte* sixteen_bytes);  // a mapped address becomes IPv4
};

// RFC 5952 text; IPv4 dotted.
std::string to_text(const Ip& ip);
// Reads dotted IPv4 or RFC 4291 IPv6 text without brackets, zone or prefix.
std::optional<Ip> parse_ip(std::string_view text);

struct Endpoint {
  Ip ip;
  uint16_t port = 0;  // 0 only where a bare address is meant
  auto operator<=>(const Endpoint&) const = default;
};

// "203.0.113.5:41234", "[2001:db8::1]:53".
std::string to_text(const Endpoint& endpoint);

// A network: the addresses whose first `bits` bits (of the 16-byte form) are those of `base`.
struct Network {
  Ip base;
  uint8_t bits = 128;
  [[nodiscard]] bool contains(const Ip& ip) const;
  auto operator<=>(const Network&) const = default;
};
std::string to_text(const Network& network);

// The one literal for endpoints: "203.0.113.5:41234", "10.0.0.0/8:443", "[2001:db8::1]:53", "[2001:db8::/32]:53", also without a
// port. The "@time" that may follow is not part of this.
struct EndpointPattern {
  Network network;
  std::optional<uint16_t> port;
  [[nodiscard]] bool is_address() const { return network.bits == 128; }
};
std::string to_text(const EndpointPattern& pattern);
// Errors: kBadInput, naming what was wrong.
Result<EndpointPattern> parse_endpoint_pattern(std::string_view text);

}  // namespace portbook
