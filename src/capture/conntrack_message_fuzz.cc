// Connection tracking messages of any bytes: never read beyond them, and what is taken is whole.
#include "base/check.h"
#include "capture/address_message.h"
#include "capture/conntrack_message.h"
#include "capture/netlink_socket.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  for_each_message({data, size}, [&](const NetlinkMessage& one) {
    PB_CHECK(one.payload.data() >= data && one.payload.data() + one.payload.size() <= data + size);
    ConntrackMessage message;
    if (decode_conntrack(one.type, one.payload, message) == ConntrackDecoded::kConntrack) {
      PB_CHECK(message.tracked.translated() == (message.tracked.source_translated() || message.tracked.destination_translated()));
    }
    AddressMessage address;
    if (decode_address(one.type, one.payload, address) == AddressDecoded::kAddress) PB_CHECK(address.name.size() < 64);
  });
  return 0;
}
