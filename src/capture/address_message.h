// Addresses and interfaces as the kernel tells them (linux/rtnetlink.h).
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "record/endpoint.h"

namespace portbook {

struct AddressMessage {
  enum class What : uint8_t { kAddressUp, kAddressDown, kInterface, kInterfaceGone };
  What what = What::kAddressUp;
  uint32_t index = 0;  // of the interface
  Ip ip;               // of addresses: the host's own, not a peer's
  uint8_t prefix_bits = 0;
  std::string name;  // of interfaces
};

enum class AddressDecoded : uint8_t { kAddress, kOther, kMalformed };

// `payload`: what follows the netlink header of a message of type `type`.
AddressDecoded decode_address(uint16_t type, ByteView payload, AddressMessage& out);

}  // namespace portbook
