// The HTTP API: routes, their parameters, their answers. docs/api/openapi.yaml describes it; a test holds the two together.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "book/book.h"
#include "query/coverage.h"
#include "query/filter.h"
#include "server/http.h"
#include "server/ingest.h"
#include "server/reading_log.h"
#include "server/request_times.h"

namespace portbook {

// One line about what this program captures.
struct CaptureLine {
  std::string what;
  std::string state;  // "ok", "warn", "off"
  std::string means;
  std::string detail;
};

// What lies in the book's folder, and what its disk still takes.
struct StoredBytes {
  uint64_t log = 0;
  uint64_t segments = 0;
  uint64_t index = 0;
  uint64_t other = 0;
  uint64_t disk_free = 0;
};

struct ApiOptions {
  std::string host;
  std::string version;
  TimeNs started = 0;
  std::function<std::vector<CaptureLine>()> book_lines;  // what the book says of its own process and disk; may be empty
  std::function<std::vector<AgentStatus>()> agents;      // that ship to this book; may be empty
  std::function<IngestStatistics()> ingest_statistics;   // likewise
  std::function<Absences()> absences;                    // likewise; empty: every source delivers
  std::function<HttpStatistics()> http_statistics;       // of the server that carries this API; may be empty
  std::function<StoredBytes()> stored;                   // may be empty, as the next
  std::function<size_t()> readers;                       // how many tokens there are
};

// What every route may use. Lives as long as the API.
struct ApiContext {
  Book& book;
  Clock& clock;
  ApiOptions options;
  Coverage coverage;
  ReadingLog reading_log;
  RequestTimes times;                          // by place in api_routes()
  std::atomic<size_t> evidence_under_way = 0;  // files that are being made

  // Records a second over the last seconds; each call is a sample.
  double records_per_second();
  // What the agent of this book's own host captures, as it says, or that it is away.
  [[nodiscard]] std::vector<CaptureLine> capture_lines() const;

  ApiContext(Book& book, Clock& clock, ApiOptions options);

 private:
  std::mutex rate_mutex_;
  uint64_t rate_boot_ns_ = 0;  // guarded by rate_mutex_, as the next two
  uint64_t rate_size_ = 0;
  double rate_ = 0;
};

struct Route {
  std::string_view path;                     // "/api/v1/records/{id}"; {…} is one part of a path, {rest…} all that follows
  std::span<const std::string_view> params;  // names of query parameters; others are refused
  HttpResponse (*answer)(ApiContext& api, const HttpRequest& request, std::string_view part);
};

// Every route, in the order in which they are tried. The page is what remains.
std::span<const Route> api_routes();

// Thread-safe.
class Api {
 public:
  // The book and the clock must outlive it.
  Api(Book& book, Clock& clock, ApiOptions options) : context_(book, clock, std::move(options)) {}
  HttpResponse answer(const HttpRequest& request);
  [[nodiscard]] ApiContext& context() { return context_; }

 private:
  HttpResponse answer(const Route& route, const HttpRequest& request, std::string_view part);

  ApiContext context_;
};

// Building blocks of the routes.
HttpResponse error_response(const Error& error);
HttpResponse filter_error_response(const FilterError& error);
HttpResponse json_response(std::string json);
HttpResponse text_response(std::string text);
std::string_view error_name(ErrorCode code);
// Errors: kBadInput, naming the first parameter that is none of `params`, and those that are.
Status only_known_params(const HttpRequest& request, std::string_view route, std::span<const std::string_view> params);
// A parameter as a number within bounds; `absent` when it is not given. Errors: kBadInput, naming it.
Result<uint64_t> number_param(const HttpRequest& request, std::string_view name, uint64_t absent, uint64_t low, uint64_t high);

// The answers that evidence is made of. `read_as` is what the reading is recorded as.
HttpResponse who_response(ApiContext& api, const HttpRequest& request, std::string_view read_as);
HttpResponse trace_response(ApiContext& api, const HttpRequest& request, std::string_view read_as);
// Streams; `limit_usual` rows at most unless the request names another number.
HttpResponse search_response(ApiContext& api, const HttpRequest& request, std::string_view read_as, uint64_t limit_usual);

// The routes, by subject.
HttpResponse answer_search(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_tail(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_who(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_trace(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_evidence(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_map(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_coverage(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_record(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_proof(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_checkpoint(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_vkey(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_consistency(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_log_file(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_status(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_sources(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_metrics(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_healthz(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_fields(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_values(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_histogram(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_facets(ApiContext& api, const HttpRequest& request, std::string_view part);
HttpResponse answer_stats(ApiContext& api, const HttpRequest& request, std::string_view part);
// The page's files; an unknown path without a dot is the page itself.
HttpResponse answer_page(const HttpRequest& request);

// /status as JSON, also sent along a tail.
Result<std::string> status_json(ApiContext& api);

}  // namespace portbook
