#include "capture/conntrack_message.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include "capture/netlink_attributes.h"

namespace portbook {

namespace {

// Newer than the headers: when the event happened (Linux 6.14).
constexpr uint16_t kTimestampEvent = 27;

struct TupleParts {
  Tuple tuple;
  bool has_src = false;
  bool has_dst = false;
  bool has_ports = false;
  uint8_t proto = 0;
  uint16_t zone = 0;
};

void take_ip(ByteView payload, size_t size, Ip& ip, bool& has) {
  if (payload.size() != size) return;
  ip = size == 4 ? Ip::v4(payload.data()) : Ip::v6(payload.data());
  has = true;
}

bool take_addresses(ByteView payload, TupleParts& parts) {
  return for_each_attribute(payload, [&](uint16_t type, ByteView value) {
    switch (type) {
      case CTA_IP_V4_SRC: take_ip(value, 4, parts.tuple.src.ip, parts.has_src); break;
      case CTA_IP_V4_DST: take_ip(value, 4, parts.tuple.dst.ip, parts.has_dst); break;
      case CTA_IP_V6_SRC: take_ip(value, 16, parts.tuple.src.ip, parts.has_src); break;
      case CTA_IP_V6_DST: take_ip(value, 16, parts.tuple.dst.ip, parts.has_dst); break;
      default: break;
    }
  });
}

bool take_protocol(ByteView payload, TupleParts& parts) {
  return for_each_attribute(payload, [&](uint16_t type, ByteView value) {
    switch (type) {
      case CTA_PROTO_NUM: take_big(value, parts.proto); break;
      case CTA_PROTO_SRC_PORT:
        take_big(value, parts.tuple.src.port);
        parts.has_ports = true;
        break;
      case CTA_PROTO_DST_PORT: take_big(value, parts.tuple.dst.port); break;
      default: break;
    }
  });
}

bool take_tuple(ByteView payload, TupleParts& parts) {
  bool whole = true;
  const bool fits = for_each_attribute(payload, [&](uint16_t type, ByteView value) {
    switch (type) {
      case CTA_TUPLE_IP: whole = take_addresses(value, parts) && whole; break;
      case CTA_TUPLE_PROTO: whole = take_protocol(value, parts) && whole; break;
      case CTA_TUPLE_ZONE: take_big(value, parts.zone); break;
      default: break;
    }
  });
  return fits && whole;
}

bool take_counters(ByteView payload, std::optional<ConntrackCounters>& out) {
  out.emplace();
  return for_each_attribute(payload, [&](uint16_t type, ByteView value) {
    if (type == CTA_COUNTERS_PACKETS) take_big(value, out->packets);
    if (type == CTA_COUNTERS_BYTES) take_big(value, out->bytes);
  });
}

bool take_timestamps(ByteView payload, ConntrackMessage& out) {
  return for_each_attribute(payload, [&](uint16_t type, ByteView value) {
    if (type == CTA_TIMESTAMP_START) take_big(value, out.start);
    if (type == CTA_TIMESTAMP_STOP) take_big(value, out.stop);
  });
}

}  // namespace

ConntrackDecoded decode_conntrack(uint16_t type, ByteView payload, ConntrackMessage& out) {
  const uint16_t subsystem = type >> 8;
  const uint16_t message = type & 0xff;
  if (subsystem != NFNL_SUBSYS_CTNETLINK || (message != IPCTNL_MSG_CT_NEW && message != IPCTNL_MSG_CT_DELETE))
    return ConntrackDecoded::kOther;
  if (payload.size() < sizeof(nfgenmsg)) return ConntrackDecoded::kMalformed;
  const uint8_t family = payload[0];
  out = {};
  out.ended = message == IPCTNL_MSG_CT_DELETE;
  TupleParts original;
  TupleParts reply;
  bool whole = true;
  const bool fits = for_each_attribute(payload.subspan(sizeof(nfgenmsg)), [&](uint16_t attribute, ByteView value) {
    switch (attribute) {
      case CTA_TUPLE_ORIG: whole = take_tuple(value, original) && whole; break;
      case CTA_TUPLE_REPLY: whole = take_tuple(value, reply) && whole; break;
      case CTA_ID: take_big(value, out.id); break;
      case CTA_ZONE: take_big(value, out.zone); break;
      case CTA_COUNTERS_ORIG: whole = take_counters(value, out.original) && whole; break;
      case CTA_COUNTERS_REPLY: whole = take_counters(value, out.reply) && whole; break;
      case CTA_TIMESTAMP: whole = take_timestamps(value, out) && whole; break;
      case kTimestampEvent: take_big(value, out.event); break;
      default: break;
    }
  });
  if (!fits || !whole) return ConntrackDecoded::kMalformed;
  if (family != AF_INET && family != AF_INET6) return ConntrackDecoded::kOther;
  if (!original.has_ports || !reply.has_ports) return ConntrackDecoded::kOther;
  if (!original.has_src || !original.has_dst || !reply.has_src || !reply.has_dst) return ConntrackDecoded::kMalformed;
  // A zone of one direction only stands in that direction's tuple; the original's names the internal side.
  if (out.zone == 0) out.zone = original.zone;
  out.tracked = {original.tuple, reply.tuple, static_cast<Proto>(original.proto)};
  return ConntrackDecoded::kConntrack;
}

}  // namespace portbook
