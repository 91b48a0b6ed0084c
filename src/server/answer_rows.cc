// search and tail: rows as they are found, and as they come.
#include <fmt/format.h>

#include <chrono>

#include "query/asked_hosts.h"
#include "query/json_writer.h"
#include "query/row.h"
#include "query/search.h"
#include "query/tail.h"
#include "query/who.h"
#include "server/api.h"

namespace portbook {

namespace {

constexpr uint64_t kSearchLimitMax = 10'000;
constexpr uint64_t kSearchLimitUsual = 200;
constexpr auto kStep = std::chrono::milliseconds(20);      // of work between two looks at the client
constexpr auto kSearchTimeMax = std::chrono::seconds(30);  // then the search ends with its cursor
constexpr size_t kRowsPerStep = 64;
constexpr uint32_t kTailRecordsPerStep = 2048;
constexpr uint64_t kCheckpointEveryNs = kNsPerSecond;
constexpr uint64_t kStatusEveryNs = 5 * kNsPerSecond;

// The error as the last line of a stream whose header has been sent.
std::string error_line(const Error& error) {
  std::string body = error_response(error).body;
  return body + "\n";
}

class SearchStream final : public BodyStream {
 public:
  // `view` holds what the book had at `viewed_at`.
  SearchStream(ApiContext& api, const View& view, TimeNs viewed_at, Filter filter, std::optional<Cursor> cursor, uint64_t limit)
      : api_(api),
        asked_(start_range(filter)),
        asked_hosts_(asked_hosts(filter, api.coverage.hosts())),
        note_(filter.note),
        search_(view, std::move(filter), cursor),
        limit_(limit),
        viewed_at_(viewed_at),
        began_(std::chrono::steady_clock::now()) {}

  Next next(std::string& out) override {
    const auto done = search_.step(std::min<size_t>(limit_ - rows_, kRowsPerStep), kStep, [&](const Row& row) {
      if (rows_++ == 0) first_row_us_ = elapsed_us();
      out += "{\"row\":";
      append_json(row, out);
      out += "}\n";
    });
    if (!done) {
      out += error_line(done.error());
      return Next::kEnd;
    }
    const bool too_long = std::chrono::steady_clock::now() - began_ >= kSearchTimeMax;
    if (!*done && rows_ < limit_ && !too_long) return Next::kMore;
    append_end(*done, !*done && rows_ < limit_, out);
    return Next::kEnd;
  }

 private:
  [[nodiscard]] uint64_t elapsed_us() const {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began_).count());
  }

  void append_end(bool done, bool cut, std::string& out) {
    CompletenessAnswer completeness = api_.coverage.over(asked_.low, std::min(asked_.high, viewed_at_), asked_hosts_);
    if (cut) {
      completeness.state = Completeness::kIncomplete;
      completeness.sentence =
          fmt::format("Incomplete. The search was ended after {} s; its cursor goes on.", kSearchTimeMax.count());
    }
    Json json(out);
    json.open('{');
    json.open("end", '{');
    json.number("rows", rows_);
    done ? json.null("cursor") : json.text("cursor", to_text(search_.cursor()));
    json.number("size", search_.view().size());
    json.number("first_row_us", rows_ > 0 ? first_row_us_ : elapsed_us());
    json.number("took_us", elapsed_us());
    json.number("scanned", search_.scanned());
    json.text_or_null("note", note_);
    json.raw("completeness", to_json(completeness));
    json.close('}');
    json.close('}');
    out += '\n';
  }

  ApiContext& api_;
  NumberRange asked_;
  std::optional<AskedHosts> asked_hosts_;
  std::string note_;
  Search search_;
  uint64_t limit_;
  uint64_t rows_ = 0;
  uint64_t first_row_us_ = 0;
  TimeNs viewed_at_;
  std::chrono::steady_clock::time_point began_;
};

class TailStream final : public BodyStream {
 public:
  TailStream(ApiContext& api, Filter filter, uint64_t from) : api_(api), tail_(std::move(filter), from) {}

  Next next(std::string& out) override {
    const uint64_t now = api_.clock.boot_ns();
    if (now - status_at_ >= kStatusEveryNs) append_status(now, out);
    const View view = api_.book.view();
    const auto caught_up = tail_.advance(view, kTailRecordsPerStep, [&](const Row& row, uint64_t next) {
      out += fmt::format("event: row\nid: {}\ndata: ", next);
      append_json(row, out);
      out += "\n\n";
    });
    if (!caught_up) {
      out += fmt::format("event: error\ndata: {}\n\n", error_response(caught_up.error()).body);
      return Next::kEnd;
    }
    if (!*caught_up) return Next::kMore;
    if (now - checkpoint_at_ >= kCheckpointEveryNs && view.size() != checkpoint_size_) append_checkpoint(now, view.size(), out);
    return Next::kWait;
  }

  [[nodiscard]] bool lasts() const override { return true; }

 private:
  void append_status(uint64_t now, std::string& out) {
    status_at_ = now;
    if (const auto status = status_json(api_)) out += fmt::format("event: status\ndata: {}\n\n", *status);
  }

  void append_checkpoint(uint64_t now, uint64_t size, std::string& out) {
    checkpoint_at_ = now;
    checkpoint_size_ = size;
    Json json(out);
    out += fmt::format("event: checkpoint\nid: {}\ndata: ", tail_.next());
    json.open('{');
    json.number("size", size);
    json.text("note", api_.book.checkpoint());
    json.close('}');
    out += "\n\n";
  }

  ApiContext& api_;
  Tail tail_;
  uint64_t status_at_ = 0;
  uint64_t checkpoint_at_ = 0;
  uint64_t checkpoint_size_ = 0;
};

}  // namespace

HttpResponse search_response(ApiContext& api, const HttpRequest& request, std::string_view read_as, uint64_t limit_usual) {
  const std::string_view text = request.param("q").value_or("");
  const TimeNs now = api.clock.now();
  auto filter = parse_filter(text, now);
  if (!filter) return filter_error_response(filter.error());
  const auto limit = number_param(request, "limit", limit_usual, 1, kSearchLimitMax);
  if (!limit) return error_response(limit.error());
  std::optional<Cursor> cursor;
  if (const auto given = request.param("cursor")) {
    const auto parsed = parse_cursor(*given);
    if (!parsed) return error_response(parsed.error());
    cursor = *parsed;
  }
  const View view = api.book.view();
  if (auto status = api.coverage.refresh(view); !status) return error_response(status.error());
  if (cursor && cursor->size > view.size())
    return error_response({ErrorCode::kBadInput, "the cursor is of a book with more records than this one"});
  api.reading_log.note(request.caller, read_as, text);
  HttpResponse response;
  response.content_type = "application/x-ndjson; charset=utf-8";
  response.stream = std::make_unique<SearchStream>(api, view, now, std::move(*filter), cursor, *limit);
  return response;
}

HttpResponse answer_search(ApiContext& api, const HttpRequest& request, std::string_view) {
  return search_response(api, request, "search", kSearchLimitUsual);
}

HttpResponse answer_tail(ApiContext& api, const HttpRequest& request, std::string_view) {
  const std::string_view text = request.param("q").value_or("");
  auto filter = parse_filter(text, api.clock.now());
  if (!filter) return filter_error_response(filter.error());
  HttpRequest resumed;
  if (!request.last_event_id.empty()) resumed.params.emplace_back("from", request.last_event_id);
  const uint64_t size = api.book.view().size();
  const auto from = number_param(resumed.params.empty() ? request : resumed, "from", size, 0, size);
  if (!from) return error_response(from.error());
  api.reading_log.note(request.caller, "tail", text);
  HttpResponse response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.stream = std::make_unique<TailStream>(api, std::move(*filter), *from);
  return response;
}

}  // namespace portbook
