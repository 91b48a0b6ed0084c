#include "server/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "query/json_writer.h"

namespace portbook {

namespace {

constexpr auto kNoParams = std::array<std::string_view, 0>{};
constexpr auto kSearchParams = std::to_array<std::string_view>({"q", "limit", "cursor"});
constexpr auto kTailParams = std::to_array<std::string_view>({"q", "from"});
constexpr auto kWhoParams = std::to_array<std::string_view>({"q", "endpoint", "at", "peer", "host", "window", "settle"});
constexpr auto kEvidenceParams =
    std::to_array<std::string_view>({"of", "q", "endpoint", "at", "peer", "host", "window", "settle", "limit"});
constexpr auto kConsistencyParams = std::to_array<std::string_view>({"from", "to"});
constexpr auto kValuesParams = std::to_array<std::string_view>({"field", "prefix", "q", "limit"});
constexpr auto kHistogramParams = std::to_array<std::string_view>({"q", "from", "to", "buckets"});
constexpr auto kFacetsParams = std::to_array<std::string_view>({"q"});
constexpr auto kReportParams = std::to_array<std::string_view>({"q", "format"});
constexpr auto kStatsParams = std::to_array<std::string_view>({"q", "by", "sort", "limit"});

constexpr auto kRoutes = std::to_array<Route>({
    {"/api/v1/search", kSearchParams, answer_search},
    {"/api/v1/tail", kTailParams, answer_tail},
    {"/api/v1/who", kWhoParams, answer_who},
    {"/api/v1/trace", kWhoParams, answer_trace},
    {"/api/v1/evidence", kEvidenceParams, answer_evidence},
    {"/api/v1/records/{id}/proof", kNoParams, answer_proof},
    {"/api/v1/records/{id}", kNoParams, answer_record},
    {"/api/v1/checkpoint", kNoParams, answer_checkpoint},
    {"/api/v1/vkey", kNoParams, answer_vkey},
    {"/api/v1/consistency", kConsistencyParams, answer_consistency},
    {"/api/v1/status", kNoParams, answer_status},
    {"/api/v1/sources", kNoParams, answer_sources},
    {"/api/v1/fields", kNoParams, answer_fields},
    {"/api/v1/values", kValuesParams, answer_values},
    {"/api/v1/histogram", kHistogramParams, answer_histogram},
    {"/api/v1/facets", kFacetsParams, answer_facets},
    {"/api/v1/stats", kStatsParams, answer_stats},
    {"/api/v1/map", kReportParams, answer_map},
    {"/api/v1/coverage", kReportParams, answer_coverage},
    {"/log/{rest…}", kNoParams, answer_log_file},
    {"/metrics", kNoParams, answer_metrics},
    {"/healthz", kNoParams, answer_healthz},
});

// What stands for the braces of `pattern` in `path`; nothing when the path does not fit.
std::optional<std::string_view> part_of(std::string_view pattern, std::string_view path) {
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) return pattern == path ? std::optional(std::string_view()) : std::nullopt;
  const size_t close = pattern.find('}');
  const bool rest = pattern.substr(brace, close - brace).ends_with("…");
  const std::string_view after = pattern.substr(close + 1);
  if (!path.starts_with(pattern.substr(0, brace)) || !path.ends_with(after) || path.size() <= brace + after.size())
    return std::nullopt;
  const std::string_view part = path.substr(brace, path.size() - brace - after.size());
  if (!rest && part.contains('/')) return std::nullopt;
  return part;
}

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadInput:
    case ErrorCode::kNewer: return 400;
    case ErrorCode::kNotFound: return 404;
    case ErrorCode::kDenied: return 403;
    case ErrorCode::kLimit: return 413;
    case ErrorCode::kUnavailable: return 503;
    case ErrorCode::kIo:
    case ErrorCode::kCorrupt: return 500;
  }
  return 500;
}

// Counts the time that its pieces took.
class Timed final : public BodyStream {
 public:
  Timed(std::unique_ptr<BodyStream> inside, RequestTimes& times, size_t route, std::chrono::nanoseconds took)
      : inside_(std::move(inside)), times_(times), route_(route), took_(took) {}
  ~Timed() override { times_.add(route_, took_); }
  Next next(std::string& out) override {
    const auto began = std::chrono::steady_clock::now();
    const Next next = inside_->next(out);
    took_ += std::chrono::steady_clock::now() - began;
    return next;
  }

 private:
  std::unique_ptr<BodyStream> inside_;
  RequestTimes& times_;
  size_t route_;
  std::chrono::nanoseconds took_;
};

}  // namespace

std::span<const Route> api_routes() {
  return kRoutes;
}

std::string_view error_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadInput: return "bad_input";
    case ErrorCode::kNotFound: return "not_found";
    case ErrorCode::kDenied: return "denied";
    case ErrorCode::kIo: return "io";
    case ErrorCode::kCorrupt: return "corrupt";
    case ErrorCode::kLimit: return "limit";
    case ErrorCode::kUnavailable: return "unavailable";
    case ErrorCode::kNewer: return "newer";
  }
  return "io";
}

ApiContext::ApiContext(Book& the_book, Clock& the_clock, ApiOptions the_options)
    : book(the_book),
      clock(the_clock),
      options(std::move(the_options)),
      reading_log(the_book, the_clock, options.host),
      times(kRoutes.size()) {}

double ApiContext::records_per_second() {
  constexpr uint64_t kSampleNs = 2 * kNsPerSecond;
  const std::lock_guard lock(rate_mutex_);
  const uint64_t now = clock.boot_ns();
  const uint64_t size = book.view().size();
  if (rate_boot_ns_ == 0 || now - rate_boot_ns_ >= kSampleNs) {
    if (rate_boot_ns_ != 0) rate_ = static_cast<double>(size - rate_size_) * 1e9 / static_cast<double>(now - rate_boot_ns_);
    rate_boot_ns_ = now;
    rate_size_ = size;
  }
  return rate_;
}

namespace {

// What is followed or received of other programs' logs on this host.
void add_log_lines(const std::vector<AgentStatus>& agents, const std::string& host, std::vector<CaptureLine>& lines) {
  struct Part {
    std::string_view suffix;
    std::string_view what;
    std::string_view who;
    std::string_view meanwhile;
  };
  for (const Part& part : {Part{kLogsSuffix, "Logs", "The follower of this host's logs", "the logs keep their lines"},
                           Part{kSyslogSuffix, "Syslog", "The receiver of this host's syslog", "senders wait or lose messages"},
                           Part{kPoolsSuffix, "PgBouncer", "What asks PgBouncer on this host",
                                "which client uses which connection is not recorded"}}) {
    const auto logs = std::ranges::find(agents, host + std::string(part.suffix), &AgentStatus::host);
    if (logs == agents.end()) continue;
    if (!logs->connected) {
      lines.push_back({std::string(part.what), "warn", "",
                       fmt::format("{} {} since {}; {}.", part.who, logs->stopped ? "was stopped" : "is not connected",
                                   format_time(logs->since).substr(0, 19), part.meanwhile)});
      continue;
    }
    for (const AgentStatus::Line& line : logs->lines) lines.push_back({line.what, line.state, line.means, line.detail});
  }
}

}  // namespace

std::vector<CaptureLine> ApiContext::capture_lines() const {
  std::vector<CaptureLine> lines;
  if (options.book_lines) lines = options.book_lines();
  if (!options.agents) return lines;
  const auto agents = options.agents();
  const auto own = std::ranges::find(agents, options.host, &AgentStatus::host);
  if (own == agents.end()) return lines;
  if (!own->connected) {
    lines.push_back({"Agent", "off", "",
                     fmt::format("The agent of this host {} since {}: what it captures is not here yet.",
                                 own->stopped ? "was stopped" : "is not connected", format_time(own->since).substr(0, 19))});
  }
  for (const AgentStatus::Line& line : own->lines) lines.push_back({line.what, line.state, line.means, line.detail});
  add_log_lines(agents, options.host, lines);
  return lines;
}

HttpResponse Api::answer(const HttpRequest& request) {
  for (size_t i = 0; i < kRoutes.size(); ++i) {
    const auto part = part_of(kRoutes[i].path, request.path);
    if (!part) continue;
    const auto began = std::chrono::steady_clock::now();
    HttpResponse response = answer(kRoutes[i], request, *part);
    const auto took = std::chrono::steady_clock::now() - began;
    if (!response.stream && response.ask_again.count() == 0) context_.times.add(i, took);
    if (response.stream && !response.stream->lasts())
      response.stream = std::make_unique<Timed>(std::move(response.stream), context_.times, i, took);
    return response;
  }
  if (request.path.starts_with("/api/")) return error_response({ErrorCode::kNotFound, fmt::format("there is no {}", request.path)});
  return answer_page(request);
}

HttpResponse Api::answer(const Route& route, const HttpRequest& request, std::string_view part) {
  if (Status known = only_known_params(request, route.path, route.params); !known) return error_response(known.error());
  const auto stall = context_.book.stalled();
  context_.coverage.note_stall(stall ? std::optional(stall->since) : std::nullopt, stall ? stall->reason : "");
  if (context_.options.absences) {
    if (Status fresh = context_.coverage.refresh(context_.book.view()); !fresh) return error_response(fresh.error());
    context_.coverage.note_absences(context_.options.absences());
  }
  return route.answer(context_, request, part);
}

Status only_known_params(const HttpRequest& request, std::string_view route, std::span<const std::string_view> params) {
  for (const auto& [name, value] : request.params) {
    if (std::ranges::find(params, name) != params.end()) continue;
    return fail(ErrorCode::kBadInput,
                params.empty() ? fmt::format("{} takes no parameters", route)
                               : fmt::format("{} has no parameter \"{}\"; it has {}", route, name, fmt::join(params, ", ")));
  }
  return {};
}

HttpResponse error_response(const Error& error) {
  HttpResponse response;
  response.status = http_status(error.code);
  Json json(response.body);
  json.open('{');
  json.open("error", '{');
  json.text("code", error_name(error.code));
  json.text("message", error.message);
  json.close('}');
  json.close('}');
  return response;
}

HttpResponse filter_error_response(const FilterError& error) {
  HttpResponse response;
  response.status = 400;
  Json json(response.body);
  json.open('{');
  json.open("error", '{');
  json.text("code", error_name(ErrorCode::kBadInput));
  json.text("message", error.message);
  json.number("position", error.position);
  json.number("length", error.length);
  json.text("expected", error.expected);
  json.text_or_null("suggestion", error.suggestion);
  json.close('}');
  json.close('}');
  return response;
}

HttpResponse json_response(std::string text) {
  HttpResponse response;
  response.body = std::move(text);
  return response;
}

HttpResponse text_response(std::string text) {
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  return response;
}

Result<uint64_t> number_param(const HttpRequest& request, std::string_view name, uint64_t absent, uint64_t low, uint64_t high) {
  const auto text = request.param(name);
  if (!text) return absent;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size() || value < low || value > high) {
    return fail(ErrorCode::kBadInput, fmt::format("{} is a number from {} to {}", name, low, high));
  }
  return value;
}

}  // namespace portbook
