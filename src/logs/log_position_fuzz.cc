// A file of positions that somebody else wrote: refused, or the same text again.
#include "base/check.h"
#include "logs/log_position.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto positions = parse_positions(text);
  if (positions) PB_CHECK(positions_text(*positions) == text);
  return 0;
}
