// Any text is either a filter or an error that stands inside the text.
#include "base/check.h"
#include "query/filter.h"
#include "query/paste.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr portbook::TimeNs kNow = 1'795'356'000'000'000'000;
  const auto filter = portbook::parse_filter(text, kNow);
  if (!filter) {
    PB_CHECK(!filter.error().message.empty() && !filter.error().expected.empty());
    PB_CHECK(filter.error().position + filter.error().length <= text.size());
  }
  for (const portbook::PasteSpan& span : portbook::read_pasted(text, kNow).spans)
    PB_CHECK(span.start < span.end && span.end <= size);
  return 0;
}
