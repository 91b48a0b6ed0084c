// Whatever text stands for an endpoint or a time: refused, or written so that it reads back as the same.
#include "base/check.h"
#include "base/clock.h"
#include "record/endpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace portbook;
  const std::string_view text = as_text({data, size});
  if (const auto pattern = parse_endpoint_pattern(text)) {
    const auto back = parse_endpoint_pattern(to_text(*pattern));
    PB_CHECK(back && back->network == pattern->network && back->port == pattern->port);
  }
  if (const auto time = parse_time(text, 0)) PB_CHECK(parse_time(format_time(time->time), 0)->time == time->time);
  (void)parse_duration(text);
  return 0;
}
