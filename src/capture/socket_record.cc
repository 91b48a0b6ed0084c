#include "capture/socket_record.h"

namespace portbook {

void put_ends(Record& record, Direction direction, const Endpoint& local, const Endpoint& remote) {
  const bool out = direction == Direction::kOut;
  record.set(Field::kDirection, direction);
  record.set(Field::kSrcIp, Field::kSrcPort, out ? local : remote);
  record.set(Field::kDstIp, Field::kDstPort, out ? remote : local);
}

void put_conn(Record& record, uint64_t host_boot, uint64_t cookie) {
  Id128 conn;
  store_big(conn.data(), host_boot);
  store_big(conn.data() + 8, cookie);
  record.set(Field::kConn, conn);
}

void put_who(Record& record, const Who& who) {
  if (who.pid == 0) return;
  record.set(Field::kPid, uint64_t{who.pid});
  record.set(Field::kProcessStart, who.process_start);
  record.set(Field::kUid, uint64_t{who.uid});
  if (who.image && !who.image->exe.empty()) record.set(Field::kExe, who.image->exe);
  if (who.place && !who.place->container.empty()) record.set(Field::kContainer, who.place->container);
}

void put_nat(Record& record, Direction direction, const NatAnswer& answer) {
  record.set(Field::kNat, answer.nat);
  if (answer.nat == Nat::kUnknown) record.set(Field::kNatReason, answer.reason);
  if (answer.nat != Nat::kTranslated || direction != Direction::kOut) return;
  if (answer.tracked.source_translated()) record.set(Field::kSrcNatIp, Field::kSrcNatPort, answer.tracked.reply.dst);
  if (answer.tracked.destination_translated()) record.set(Field::kDstNatIp, Field::kDstNatPort, answer.tracked.reply.src);
}

}  // namespace portbook
