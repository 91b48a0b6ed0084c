// Any bytes as a frame of the spool: taken only when they are whole, and then within their bounds. The checksum is put right for
// half of the inputs, so that what stands behind it is reached.
#include "base/check.h"
#include "ship/spool.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  Bytes bytes(data, data + size);
  if (size >= kSpoolFrameBytes && size % 2 == 0) seal_spool_frame(bytes, 1);
  const auto frame = read_spool_frame(bytes, 1);
  if (!frame) return 0;
  PB_CHECK(frame->length <= bytes.size());
  const SpoolPlace& place = std::holds_alternative<SpooledBatch>(frame->entry) ? std::get<SpooledBatch>(frame->entry).place
                                                                               : std::get<Renumbering>(frame->entry).gap;
  PB_CHECK(place.offset + place.bytes == frame->length);
  if (const auto* renumbering = std::get_if<Renumbering>(&frame->entry))
    PB_CHECK(renumbering->gap_seq < kSourceSeqMax && (place.bytes == 0) == (renumbering->gap_seq == 0));
  return 0;
}
