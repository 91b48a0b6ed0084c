// Any bytes given to `portbook verify`: an answer, never a crash.
#include "query/evidence.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  [[maybe_unused]] const auto check = portbook::check_evidence(file, "");
  [[maybe_unused]] const auto named = portbook::records_named_in(file);
  return 0;
}
