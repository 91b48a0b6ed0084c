// /metrics and /healthz of a book on disk, whose agents and disk are made up.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "book/test_batches.h"
#include "server/api.h"

namespace portbook {
namespace {

using testing::HasSubstr;
using testing::Not;

class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    auto book = Book::open({.folder = folder_.path(), .origin = "book.example.org/web-7", .host = "web-7"}, clock_);
    PB_CHECK(book.has_value());
    book_ = std::move(*book);
    ApiOptions options;
    options.host = "web-7";
    options.version = "1.2.3";
    options.started = clock_.now();
    options.book_lines = [this] { return lines_; };
    options.agents = [this] { return agents_; };
    options.absences = [this] { return absences_; };
    options.ingest_statistics = [] { return IngestStatistics(); };
    options.http_statistics = [] { return HttpStatistics(); };
    options.stored = [] { return StoredBytes(); };
    options.readers = [] { return size_t{3}; };
    api_ = std::make_unique<Api>(*book_, clock_, std::move(options));
  }

  HttpResponse get(std::string path) {
    HttpRequest request;
    request.method = "GET";
    request.path = std::move(path);
    return api_->answer(request);
  }
  // One source of web-7 that began to capture.
  void begin_source(ClockState clock_state) {
    Record record;
    record.set(Field::kKind, Kind::kSourceStart);
    record.set(Field::kVantage, Vantage::kSocket);
    record.set(Field::kTime, clock_.now());
    record.set(Field::kHost, std::string_view("web-7"));
    record.set(Field::kClockState, clock_state);
    BatchBuilder builder("web-7/socket", 1);
    builder.add(record);
    const auto receipt = book_->append(builder.take());
    ASSERT_TRUE(receipt.has_value()) << receipt.error().message;
  }
  AgentStatus& agent(bool connected) {
    AgentStatus agent;
    agent.host = "web-7";
    agent.connected = connected;
    agent.since = clock_.now();
    agents_ = {agent};
    return agents_.front();
  }

  ForwardClock clock_;
  TemporaryFolder folder_;
  std::unique_ptr<Book> book_;
  std::vector<CaptureLine> lines_;
  std::vector<AgentStatus> agents_;
  Absences absences_;
  std::unique_ptr<Api> api_;
};

// Name → type and help, with the labels in braces, of an answer and of the document's table.
using Listed = std::map<std::string, std::string>;

Listed listed_in(const std::string& text) {
  Listed listed;
  std::map<std::string, std::string> helps;
  std::map<std::string, std::string> types;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash;
    std::string what;
    std::string name;
    if (line.starts_with("# ")) {
      words >> hash >> what >> name;
      std::string rest;
      std::getline(words >> std::ws, rest);
      (what == "HELP" ? helps : types)[name] = rest;
      continue;
    }
    name = line.substr(0, line.find_first_of("{ "));
    for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
      if (name.ends_with(suffix) && helps.contains(name.substr(0, name.size() - suffix.size())))
        name.resize(name.size() - suffix.size());
    }
    EXPECT_TRUE(helps.contains(name) && types.contains(name)) << line;
    const size_t brace = line.find('{');
    const std::string label = brace == std::string::npos ? "" : line.substr(brace + 1, line.find('=') - brace - 1);
    listed[label.empty() ? name : name + "{" + label + "}"] = types[name] + " | " + helps[name];
  }
  return listed;
}

Listed documented() {
  Listed listed;
  std::ifstream file(PORTBOOK_SOURCE_DIR "/docs/server.md");
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kRow = "| `portbook_";
    if (!line.starts_with(kRow)) continue;
    const size_t end = line.find('`', kRow.size());
    listed[line.substr(3, end - 3)] = line.substr(end + 4, line.size() - end - 6);
  }
  return listed;
}

TEST_F(HealthTest, MetricsAreThoseOfTheDocument) {
  begin_source(ClockState::kSynchronised);
  agent(true);
  get("/api/v1/status");
  const HttpResponse answer = get("/metrics");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(listed_in(answer.body), documented());
}

TEST_F(HealthTest, MetricsCountWhatTheBookHas) {
  begin_source(ClockState::kSynchronised);
  get("/api/v1/status");
  get("/api/v1/status");
  const std::string text = get("/metrics").body;
  EXPECT_THAT(text, HasSubstr(fmt::format("\nportbook_records_total {}\n", book_->view().size())));
  EXPECT_THAT(text, HasSubstr("\nportbook_readers 3\n"));
  EXPECT_THAT(text, HasSubstr("\nportbook_source_capturing{source=\"web-7/socket\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("_count{route=\"/api/v1/status\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("_bucket{route=\"/api/v1/status\",le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("route=\"/api/v1/search\"")));
}

TEST_F(HealthTest, NothingWrongIsSaidSo) {
  begin_source(ClockState::kSynchronised);
  agent(true);
  const HttpResponse answer = get("/healthz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "{\"problems\":[],\"state\":\"well\"}\n");
}

TEST_F(HealthTest, WhatIsWrongIsSaidInWords) {
  begin_source(ClockState::kNotSynchronised);
  agent(true);
  lines_ = {{"Disk", "warn", "statfs", "Nearly full: 3 MiB free in /var/lib/portbook."}};
  HttpResponse answer = get("/healthz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr("Disk: Nearly full"));
  EXPECT_THAT(answer.body, HasSubstr("The clock of web-7 is not synchronised"));
  EXPECT_THAT(answer.body, HasSubstr("\"state\":\"warn\""));
}

TEST_F(HealthTest, AnAgentThatIsGoneFails) {
  begin_source(ClockState::kSynchronised);
  agent(false);
  HttpResponse answer = get("/healthz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("\"what\":\"agent\",\"failing\":true,\"sentence\":\"The agent of web-7 is away since "));
  agent(false).stopped = true;  // it was told to
  EXPECT_EQ(get("/healthz").status, 200);
}

TEST_F(HealthTest, ASourceThatTellsNothingFails) {
  begin_source(ClockState::kSynchronised);
  agent(true);
  absences_.agents["web-7"] = std::nullopt;
  absences_.told["web-7/socket"] = clock_.now();
  EXPECT_EQ(get("/healthz").status, 200);
  clock_.forward = 60 * kNsPerSecond;
  const HttpResponse answer = get("/healthz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("web-7/socket is silent: what it last told ends at "));
}

TEST(RequestTimes, BucketsHoldWhatTookNoLonger) {
  RequestTimes times(2);
  times.add(1, std::chrono::microseconds(1000));
  times.add(1, std::chrono::microseconds(1001));
  times.add(1, std::chrono::seconds(31));
  const auto histogram = times.of(1);
  EXPECT_EQ(histogram.up_to.front(), 1U);  // an end belongs to its bucket
  EXPECT_EQ(histogram.up_to[1], 2U);
  EXPECT_EQ(histogram.up_to.back(), 2U);
  EXPECT_EQ(histogram.count, 3U);
  EXPECT_NEAR(histogram.seconds, 31.002001, 1e-9);
  EXPECT_EQ(times.of(0).count, 0U);
}

}  // namespace
}  // namespace portbook
