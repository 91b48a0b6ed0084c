// who and trace: whose an endpoint was, and the path that it belongs to.
#include <chrono>

#include "query/trace.h"
#include "query/who.h"
#include "server/api.h"

namespace portbook {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

WhoParts parts_of(const HttpRequest& request) {
  const auto param = [&](std::string_view name) { return std::string(request.param(name).value_or("")); };
  return {param("q"), param("endpoint"), param("at"), param("peer"), param("host"), param("window")};
}

// What the kernel saw a moment ago may still be on its way: an answer about it that is asked for at once could not be whole.
std::optional<HttpResponse> settling(const WhoQuestion& question, const HttpRequest& request, TimeNs now) {
  const TimeNs whole_from = question.at + question.precision_ns + kArrivalNs;
  if (whole_from <= now || whole_from - now > kArrivalNs + question.precision_ns || request.param("settle") == "no" ||
      question.at > request.received || now - request.received >= kArrivalNs) {
    return std::nullopt;
  }
  HttpResponse later;
  later.ask_again = std::chrono::milliseconds(std::min<uint64_t>(whole_from - now, kArrivalNs) / kNsPerMs + 1);
  return later;
}

uint64_t microseconds_since(SteadyTime began) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began).count());
}

}  // namespace

HttpResponse answer_who(ApiContext& api, const HttpRequest& request, std::string_view) {
  const auto began = std::chrono::steady_clock::now();
  const auto question = read_who_question(parts_of(request), request.received);
  if (!question) return error_response(question.error());
  const TimeNs now = api.clock.now();
  if (auto later = settling(*question, request, now)) return std::move(*later);
  const auto answer = who(api.book.view(), api.coverage, *question, now);
  if (!answer) return error_response(answer.error());
  api.reading_log.note(request.caller, "who", question->text);
  return json_response(to_json(*answer, microseconds_since(began)) + "\n");
}

HttpResponse answer_trace(ApiContext& api, const HttpRequest& request, std::string_view) {
  const auto began = std::chrono::steady_clock::now();
  const auto question = read_trace_question(parts_of(request), request.received);
  if (!question) return error_response(question.error());
  const TimeNs now = api.clock.now();
  if (question->who) {
    if (auto later = settling(*question->who, request, now)) return std::move(*later);
  }
  const auto answer = trace(api.book.view(), api.coverage, *question, now);
  if (!answer) return error_response(answer.error());
  api.reading_log.note(request.caller, "trace", question->text);
  return json_response(to_json(*answer, microseconds_since(began)) + "\n");
}

}  // namespace portbook
