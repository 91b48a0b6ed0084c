// Whatever bytes a source sends: refused, or encoded again to the very same bytes; and the JSON of an accepted record reads back.
#include <cstdlib>

#include "base/check.h"
#include "record/cbor.h"
#include "record/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  static Record record;
  static Bytes again;
  const ByteView bytes(data, size);
  const auto length = encoded_length(bytes);
  if (length) PB_CHECK(*length <= size);
  if (!decode(bytes, record)) return 0;
  PB_CHECK(length && *length == size);
  again.clear();
  encode(record, again);
  PB_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  PB_CHECK(is_utf8(as_bytes(to_json(record))));
  return 0;
}
