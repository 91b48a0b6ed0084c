// The parts that all records of a socket share, whoever saw it.
#pragma once

#include <cstdint>

#include "capture/nat_table.h"
#include "capture/processes.h"
#include "record/record.h"

namespace portbook {

// Sets direction, both ends (who initiated is src) and conn: `host_boot`, then the socket's cookie.
void put_ends(Record& record, Direction direction, const Endpoint& local, const Endpoint& remote);
void put_conn(Record& record, uint64_t host_boot, uint64_t cookie);
// Sets what is known of the process; nothing where none is.
void put_who(Record& record, const Who& who);
// Sets nat, why it is unknown, and the translated endpoints of an outgoing connection.
void put_nat(Record& record, Direction direction, const NatAnswer& answer);

}  // namespace portbook
