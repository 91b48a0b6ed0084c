// Arguments of any bytes: what was there stays in its order, but for what is replaced by the mark.
#include <algorithm>

#include "base/check.h"
#include "capture/redact.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  const std::string_view given(reinterpret_cast<const char*>(data), size);
  const Redacted redacted = redact_arguments(given);
  PB_CHECK(redacted.count <= static_cast<size_t>(std::ranges::count(given, '\0')) + 1);
  std::string joined(given);
  if (joined.ends_with('\0')) joined.pop_back();
  std::ranges::replace(joined, '\0', ' ');
  if (redacted.count == 0) {
    PB_CHECK(redacted.text == joined);
    return 0;
  }
  // The parts between the marks are found one after the other.
  size_t at = 0;
  std::string_view rest = redacted.text;
  while (true) {
    const size_t mark = rest.find(kRedactedMark);
    const size_t found = joined.find(rest.substr(0, mark), at);
    PB_CHECK(found != std::string::npos);
    if (mark == std::string_view::npos) return 0;
    at = found + mark;
    rest.remove_prefix(mark + kRedactedMark.size());
  }
}
