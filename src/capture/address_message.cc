#include "capture/address_message.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "capture/netlink_attributes.h"

namespace portbook {

namespace {

AddressDecoded decode_interface(uint16_t type, ByteView payload, AddressMessage& out) {
  ifinfomsg head;
  if (payload.size() < sizeof head) return AddressDecoded::kMalformed;
  std::memcpy(&head, payload.data(), sizeof head);
  out.what = type == RTM_NEWLINK ? AddressMessage::What::kInterface : AddressMessage::What::kInterfaceGone;
  out.index = static_cast<uint32_t>(head.ifi_index);
  const bool fits = for_each_attribute(payload.subspan(sizeof head), [&](uint16_t attribute, ByteView value) {
    if (attribute != IFLA_IFNAME) return;
    out.name = as_text(value.first(std::min<size_t>(value.size(), 63)));
    out.name.resize(out.name.find('\0') == std::string::npos ? out.name.size() : out.name.find('\0'));
  });
  return fits ? AddressDecoded::kAddress : AddressDecoded::kMalformed;
}

}  // namespace

AddressDecoded decode_address(uint16_t type, ByteView payload, AddressMessage& out) {
  out = {};
  if (type == RTM_NEWLINK || type == RTM_DELLINK) return decode_interface(type, payload, out);
  if (type != RTM_NEWADDR && type != RTM_DELADDR) return AddressDecoded::kOther;
  ifaddrmsg head;
  if (payload.size() < sizeof head) return AddressDecoded::kMalformed;
  std::memcpy(&head, payload.data(), sizeof head);
  if (head.ifa_family != AF_INET && head.ifa_family != AF_INET6) return AddressDecoded::kOther;
  const size_t size = head.ifa_family == AF_INET ? 4 : 16;
  out.what = type == RTM_NEWADDR ? AddressMessage::What::kAddressUp : AddressMessage::What::kAddressDown;
  out.index = head.ifa_index;
  out.prefix_bits = head.ifa_prefixlen;
  bool has_ip = false;
  bool has_local = false;
  const bool fits = for_each_attribute(payload.subspan(sizeof head), [&](uint16_t attribute, ByteView value) {
    // On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours.
    if ((attribute != IFA_ADDRESS || has_local) && attribute != IFA_LOCAL) return;
    if (value.size() != size) return;
    out.ip = size == 4 ? Ip::v4(value.data()) : Ip::v6(value.data());
    has_ip = true;
    has_local = has_local || attribute == IFA_LOCAL;
  });
  return fits && has_ip ? AddressDecoded::kAddress : AddressDecoded::kMalformed;
}

}  // namespace portbook
