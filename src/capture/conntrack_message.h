// One message of the kernel's connection tracking (linux/netfilter/nfnetlink_conntrack.h).
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "capture/nat_table.h"

namespace portbook {

struct ConntrackCounters {
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

struct ConntrackMessage {
  bool ended = false;  // DESTROY; else NEW, or an entry of a dump
  uint16_t zone = 0;
  uint32_t id = 0;  // not unique over time
  Tracked tracked;
  // UTC ns by the kernel; 0 where it does not say (nf_conntrack_timestamp is off, or an older kernel).
  TimeNs start = 0;
  TimeNs stop = 0;
  TimeNs event = 0;
  // Absent where nf_conntrack_acct is off.
  std::optional<ConntrackCounters> original;
  std::optional<ConntrackCounters> reply;
};

enum class ConntrackDecoded : uint8_t {
  kConntrack,
  kOther,  // well-formed, but no NEW or DESTROY of an address family and protocol with ports
  kMalformed,
};

// `payload`: what follows the netlink header of a message of type `type` (nlmsg_type). Fills `out` for kConntrack.
// Reads at most payload.size() bytes; allocates nothing.
ConntrackDecoded decode_conntrack(uint16_t type, ByteView payload, ConntrackMessage& out);

}  // namespace portbook
