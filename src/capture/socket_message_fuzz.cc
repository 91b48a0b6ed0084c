// Socket diagnostics of any bytes: never read beyond them, and what is taken is TCP or UDP.
#include "base/check.h"
#include "capture/netlink_socket.h"
#include "capture/socket_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  for_each_message({data, size}, [&](const NetlinkMessage& one) {
    SocketMessage message;
    if (decode_socket(one.type, one.payload, Proto::kTcp, message) != SocketDecoded::kSocket) return;
    PB_CHECK(message.proto == Proto::kTcp || message.proto == Proto::kUdp);
    PB_CHECK(!message.totals || message.proto == Proto::kTcp);
    PB_CHECK(!message.mapped || message.remote.ip.is_v4());
  });
  return 0;
}
