// Whatever line a log has, in each format: one record, the same again, whose bytes a book takes.
#include "base/check.h"
#include "record/cbor.h"
#include "sources/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  const std::string_view line = as_text({data, size});
  const LineOrigin origin{1'795'437'118'735'000'000, {.minutes_east = 60}};
  for (const LineFormatName& one : line_formats()) {
    Record record;
    Record again;
    const bool understood = decode_line(one.format, line, origin, record);
    PB_CHECK(decode_line(one.format, line, origin, again) == understood && record == again);
    PB_CHECK(record.has(Field::kKind) && record.has(Field::kTime) && record.has(Field::kVantage));
    PB_CHECK(understood || (record.kind() == Kind::kNote && record.text(Field::kCause) == kNotUnderstood));
    Bytes bytes;
    encode(record, bytes);
    PB_CHECK(decode(bytes, again).has_value() && again == record);
  }
  return 0;
}
