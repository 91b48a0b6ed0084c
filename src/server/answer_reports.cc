// map and coverage: what talks to what, and what of it the book can vouch for.
#include "query/coverage_report.h"
#include "query/map.h"
#include "server/api.h"

namespace portbook {

namespace {

constexpr auto kReportTimeMax = std::chrono::seconds(20);

HttpResponse html_response(std::string html) {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = std::move(html);
  return response;
}

// True for HTML. Errors: kBadInput.
Result<bool> wants_html(const HttpRequest& request) {
  const std::string_view format = request.param("format").value_or("json");
  if (format != "json" && format != "html") return fail(ErrorCode::kBadInput, "format is json or html");
  return format == "html";
}

}  // namespace

HttpResponse answer_map(ApiContext& api, const HttpRequest& request, std::string_view) {
  const std::string_view text = request.param("q").value_or("");
  auto filter = parse_filter(text, api.clock.now());
  if (!filter) return filter_error_response(filter.error());
  if (reading_of(*filter) == Reading::kRecords)
    return error_response({ErrorCode::kBadInput, "a map is of connections; the filter asks for records"});
  const auto html = wants_html(request);
  if (!html) return error_response(html.error());
  const auto map = service_map(api.book.view(), std::move(*filter), kReportTimeMax);
  if (!map) return error_response(map.error());
  api.reading_log.note(request.caller, "map", text);
  return *html ? html_response(to_html(*map, api.book.origin(), text)) : json_response(to_json(*map) + "\n");
}

HttpResponse answer_coverage(ApiContext& api, const HttpRequest& request, std::string_view) {
  const std::string_view text = request.param("q").value_or("");
  const TimeNs now = api.clock.now();
  auto filter = parse_filter(text, now);
  if (!filter) return filter_error_response(filter.error());
  if (reading_of(*filter) == Reading::kRecords)
    return error_response({ErrorCode::kBadInput, "coverage is of connections; the filter asks for records"});
  const auto html = wants_html(request);
  if (!html) return error_response(html.error());
  const auto report = coverage_report(api.book.view(), api.coverage, std::move(*filter), std::string(text), now, kReportTimeMax);
  if (!report) return error_response(report.error());
  api.reading_log.note(request.caller, "coverage", text);
  return *html ? html_response(to_html(*report, api.book.origin())) : json_response(to_json(*report) + "\n");
}

}  // namespace portbook
