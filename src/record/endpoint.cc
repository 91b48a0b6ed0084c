#include "record/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>

namespace portbook {

namespace {

constexpr std::array<Byte, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::optional<unsigned> parse_decimal(std::string_view text, unsigned maximum) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value > maximum) return std::nullopt;
  return value;
}

std::unexpected<Error> bad_endpoint(std::string_view text, std::string_view why) {
  return fail(ErrorCode::kBadInput,
              fmt::format("\"{}\" is not an endpoint: {}; expected such as 203.0.113.5:41234, 10.0.0.0/8:443 or [2001:db8::1]:53",
                          text, why));
}

// Reads "address" or "address/bits".
std::optional<Network> parse_network(std::string_view text, std::string_view& why) {
  const size_t slash = text.find('/');
  const auto ip = parse_ip(text.substr(0, slash));
  why = "the address cannot be read";
  if (!ip) return std::nullopt;
  Network network{*ip, 128};
  if (slash != std::string_view::npos) {
    const unsigned maximum = ip->is_v4() ? 32 : 128;
    const auto bits = parse_decimal(text.substr(slash + 1), maximum);
    why = ip->is_v4() ? "the prefix length is not a number up to 32" : "the prefix length is not a number up to 128";
    if (!bits) return std::nullopt;
    network.bits = static_cast<uint8_t>(*bits + (ip->is_v4() ? 96 : 0));
    for (size_t bit = network.bits; bit < 128; ++bit) network.base.bytes[bit / 8] &= static_cast<Byte>(~(0x80U >> bit % 8));
  }
  return network;
}

}  // namespace

bool Ip::is_v4() const {
  return std::memcmp(bytes.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0;
}

bool Ip::is_loopback() const {
  if (is_v4()) return bytes[12] == 127;
  Ip one;
  one.bytes[15] = 1;
  return *this == one;
}

bool Ip::is_unspecified() const {
  return *this == Ip{} || *this == v4(uint32_t{0});
}

ByteView Ip::canonical() const {
  if (is_v4()) return ByteView(bytes).subspan(12);
  return bytes;
}

Ip Ip::v4(const Byte* four_bytes) {
  Ip ip;
  std::memcpy(ip.bytes.data(), kMappedPrefix.data(), 12);
  std::memcpy(ip.bytes.data() + 12, four_bytes, 4);
  return ip;
}

Ip Ip::v4(uint32_t host_order) {
  std::array<Byte, 4> raw;
  store_big(raw.data(), host_order);
  return v4(raw.data());
}

Ip Ip::v6(const Byte* sixteen_bytes) {
  Ip ip;
  std::memcpy(ip.bytes.data(), sixteen_bytes, 16);
  return ip;
}

std::string to_text(const Ip& ip) {
  char buffer[INET6_ADDRSTRLEN];
  const ByteView raw = ip.canonical();
  inet_ntop(raw.size() == 4 ? AF_INET : AF_INET6, raw.data(), buffer, sizeof buffer);
  return buffer;
}

std::optional<Ip> parse_ip(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof buffer) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  if (std::strlen(buffer) != text.size()) return std::nullopt;
  std::array<Byte, 16> raw;
  if (inet_pton(AF_INET, buffer, raw.data()) == 1) return Ip::v4(raw.data());
  if (inet_pton(AF_INET6, buffer, raw.data()) == 1) return Ip::v6(raw.data());
  return std::nullopt;
}

std::string to_text(const Endpoint& endpoint) {
  return endpoint.ip.is_v4() ? fmt::format("{}:{}", to_text(endpoint.ip), endpoint.port)
                             : fmt::format("[{}]:{}", to_text(endpoint.ip), endpoint.port);
}

bool Network::contains(const Ip& ip) const {
  const size_t whole = bits / 8;
  if (std::memcmp(ip.bytes.data(), base.bytes.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<Byte>(0xff00U >> bits % 8);
  return ((ip.bytes[whole] ^ base.bytes[whole]) & mask) == 0;
}

std::string to_text(const Network& network) {
  if (network.bits == 128) return to_text(network.base);
  return fmt::format("{}/{}", to_text(network.base), network.base.is_v4() ? network.bits - 96 : network.bits);
}

std::string to_text(const EndpointPattern& pattern) {
  const std::string network = to_text(pattern.network);
  if (!pattern.port) return network;
  return fmt::format(fmt::runtime(pattern.network.base.is_v4() ? "{}:{}" : "[{}]:{}"), network, *pattern.port);
}

Result<EndpointPattern> parse_endpoint_pattern(std::string_view text) {
  std::string_view address = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return bad_endpoint(text, "the ] is missing");
    address = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    has_port = rest.starts_with(':');
    if (has_port) port = rest.substr(1);
    if (!rest.empty() && !has_port) return bad_endpoint(text, "after ] comes neither the end nor :port");
  } else if (const size_t colon = text.find(':');
             colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos) {
    address = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  std::string_view why;
  const auto network = parse_network(address, why);
  if (!network) return bad_endpoint(text, why);
  EndpointPattern pattern{*network, std::nullopt};
  if (has_port) {
    const auto number = parse_decimal(port, 65535);
    if (!number || *number == 0) return bad_endpoint(text, "the port is not a number from 1 to 65535");
    pattern.port = static_cast<uint16_t>(*number);
  }
  return pattern;
}

}  // namespace portbook
