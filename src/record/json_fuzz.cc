// Whatever JSON somebody posts: refused, or a record whose bytes decode to the same record.
#include "base/check.h"
#include "record/cbor.h"
#include "record/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  static Record record;
  static Record back;
  static Bytes bytes;
  if (!from_json(as_text({data, size}), record)) return 0;
  bytes.clear();
  encode(record, bytes);
  PB_CHECK(decode(bytes, back).has_value());
  PB_CHECK(back == record);
  return 0;
}
