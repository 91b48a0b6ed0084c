// Any bytes as the file of what was told: names within their slots, no more of them than there are places.
#include "base/check.h"
#include "ship/told_file.h"
#include "ship/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  const auto found = read_told(ByteView(data, size));
  PB_CHECK(found.size() <= kShipSourcesMax);
  for (const ToldFile::Told& one : found) PB_CHECK(one.source.size() <= kShipTextBytesMax);
  return 0;
}
