// A log file's bytes may be anything after a crash or an attack: reading them ends, and never reads beyond them.
#include "base/check.h"
#include "store/log_frame.h"

using namespace portbook;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView file(data, size);
  const auto header = parse_log_header(file);
  if (header) PB_CHECK(ByteView(encode_log_header(*header)).size() <= size);
  const uint64_t serial = header ? header->serial : 1;
  for (uint64_t at = size < kLogHeaderBytes ? 0 : kLogHeaderBytes; at <= size;) {
    const LogItem item = read_log_item(file, at, serial);
    const auto* frame = std::get_if<Frame>(&item);
    if (frame == nullptr) break;
    PB_CHECK(frame->payload.data() >= data && frame->payload.data() + frame->payload.size() <= data + size);
    at += frame_bytes(frame->payload.size());
  }
  return 0;
}
