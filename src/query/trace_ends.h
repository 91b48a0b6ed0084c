// The same connection at its other end: the client's outbound record and the server's inbound one, over the translations between.
#pragma once

#include <vector>

#include "query/connection_fact.h"

namespace portbook {

inline constexpr size_t kTranslationsMax = 4;               // leases in a row between the two ends
inline constexpr size_t kEndRowsMax = 20'000;               // rows looked at for one endpoint
inline constexpr uint64_t kHandshakeNs = 3 * kNsPerSecond;  // how far apart two ends may see one connection begin

// A record of the other end, and the leases on the way, in the order in which packets from the client meet them.
struct OtherEnd {
  ConnectionFact connection;
  std::vector<Lease> leases;
  bool translated_by_record = false;  // the socket's own record names a translation for which no lease is recorded
};

// Whether both may be one connection in time: they began within the handshake of each other, and neither was over before the other
// began, both widened by both clock errors; where one was there when capture began, their intervals meet. Without a stated error
// another host's clock is taken to be a second off at most.
bool may_coincide(const ConnectionFact& one, const ConnectionFact& other);

// Every record of the far end that fits on tuple and time. `of` is outbound for ends_that_accepted, inbound for ends_that_opened;
// of a failed connection there are none. Sets `bounded` when kEndRowsMax cut it. Look-ups that fail: see Joins::status().
std::vector<OtherEnd> ends_that_accepted(Joins& joins, const ConnectionFact& of, bool& bounded);
std::vector<OtherEnd> ends_that_opened(Joins& joins, const ConnectionFact& of, bool& bounded);

}  // namespace portbook
