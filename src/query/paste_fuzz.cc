// Any text that somebody pastes, also as a line of a list.
#include "query/question_list.h"
#include "query/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  constexpr portbook::TimeNs kNow = 1'795'356'000'000'000'000;
  [[maybe_unused]] const auto question = portbook::read_trace_question({text, "", "", "", "", ""}, kNow);
  portbook::QuestionList list({});
  const size_t half = text.find('\n');
  [[maybe_unused]] const auto first = list.read(std::string_view(text).substr(0, half));
  if (half != std::string::npos) [[maybe_unused]]
    const auto second = list.read(std::string_view(text).substr(half + 1));
  return 0;
}
