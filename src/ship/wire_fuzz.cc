// Any bytes: a message that encodes to what was read, or more is asked for, or they are malformed.
#include <algorithm>

#include "base/check.h"
#include "ship/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  ByteView rest(data, size);
  while (true) {
    const DecodedMessage decoded = decode_message(rest);
    if (const auto* more = std::get_if<NeedMore>(&decoded)) {
      PB_CHECK(more->bytes_min > rest.size());
      PB_CHECK(more->bytes_min <= kShipHeaderBytes + kShipBatchHeaderBytes + kShipBatchBytesMax);
      return 0;
    }
    const auto* whole = std::get_if<WholeMessage>(&decoded);
    if (whole == nullptr) return 0;
    PB_CHECK(whole->length <= rest.size());
    Bytes again;
    append_message(again, whole->message);
    PB_CHECK(std::ranges::equal(again, rest.first(whole->length)));
    rest = rest.subspan(whole->length);
  }
}
