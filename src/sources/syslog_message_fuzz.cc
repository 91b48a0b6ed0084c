// Whatever bytes come over a socket: frames that do not hang on how they were cut, and of each one record that a book takes.
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "record/cbor.h"
#include "sources/syslog_frames.h"
#include "sources/syslog_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  const std::string_view stream = as_text({data, size});
  SyslogFrames whole;
  SyslogFrames pieces;
  std::vector<std::string> found;
  whole.push(stream);
  while (const auto frame = whole.next()) found.emplace_back(frame->text);
  size_t at = 0;
  for (const char byte : stream) {
    pieces.push({&byte, 1});
    while (const auto frame = pieces.next()) {
      PB_CHECK(at < found.size() && found[at] == frame->text);
      ++at;
    }
  }
  PB_CHECK(at == found.size());
  const SyslogArrival arrival{{1'795'437'118'735'000'000, {.minutes_east = 60}}, "127.0.0.1:40112", {}};
  found.emplace_back(stream.substr(0, kSyslogMessageBytesMax));
  for (const std::string& text : found) {
    Record record;
    Record again;
    (void)read_syslog_message(text, arrival, "lb-1", record);
    PB_CHECK(record.has(Field::kKind) && record.has(Field::kTime) && record.has(Field::kHost));
    Bytes bytes;
    encode(record, bytes);
    PB_CHECK(decode(bytes, again).has_value() && again == record);
  }
  return 0;
}
