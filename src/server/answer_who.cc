// who and trace: whose an endpoint was, and the path that it belongs to.
#include <algorithm>
#include <chrono>

#include "query/trace.h"
#include "query/who.h"
#include "server/api.h"

namespace portbook {

namespace {

constexpr std::chrono::milliseconds kAskAgain{5};

using SteadyTime = std::chrono::steady_clock::time_point;

WhoParts parts_of(const HttpRequest& request) {
  const auto param = [&](std::string_view name) { return std::string(request.param(name).value_or("")); };
  return {param("q"), param("endpoint"), param("at"), param("peer"), param("host"), param("window")};
}

// What the kernel saw a moment ago may still be on its way: instead of an answer that is not whole the question is asked again,
// for a while.
bool shall_settle(const CompletenessAnswer& completeness, const HttpRequest& request, TimeNs now) {
  return completeness.young && request.param("settle") != "no" && now - std::min(now, request.received) < kSettleNs;
}

HttpResponse ask_again() {
  HttpResponse later;
  later.ask_again = kAskAgain;
  return later;
}

uint64_t microseconds_since(SteadyTime began) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began).count());
}

}  // namespace

HttpResponse who_response(ApiContext& api, const HttpRequest& request, std::string_view read_as) {
  const auto began = std::chrono::steady_clock::now();
  const auto question = read_who_question(parts_of(request), request.received);
  if (!question) return error_response(question.error());
  const TimeNs now = api.clock.now();
  const auto answer = who(api.book.view(), api.coverage, *question, now);
  if (!answer) return error_response(answer.error());
  if (shall_settle(answer->completeness, request, now)) return ask_again();
  api.reading_log.note(request.caller, read_as, question->text);
  return json_response(to_json(*answer, microseconds_since(began)) + "\n");
}

HttpResponse trace_response(ApiContext& api, const HttpRequest& request, std::string_view read_as) {
  const auto began = std::chrono::steady_clock::now();
  const auto question = read_trace_question(parts_of(request), request.received);
  if (!question) return error_response(question.error());
  const TimeNs now = api.clock.now();
  const auto answer = trace(api.book.view(), api.coverage, *question, now);
  if (!answer) return error_response(answer.error());
  if (question->who && shall_settle(answer->completeness, request, now)) return ask_again();
  api.reading_log.note(request.caller, read_as, question->text);
  return json_response(to_json(*answer, microseconds_since(began)) + "\n");
}

HttpResponse answer_who(ApiContext& api, const HttpRequest& request, std::string_view) {
  return who_response(api, request, "who");
}

HttpResponse answer_trace(ApiContext& api, const HttpRequest& request, std::string_view) {
  return trace_response(api, request, "trace");
}

}  // namespace portbook
