// Runs tests/query/*.test: records, questions over them, and what is expected, as text. docs/query.md shows the form.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "query/coverage_report.h"
#include "query/map.h"
#include "query/plain_view_test.h"
#include "query/search.h"
#include "query/trace.h"
#include "query/who.h"
#include "record/json.h"

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'795'356'000'000'000'000;  // 2026-11-22T14:00:00Z

// The ids of all rows, in pages of `page` rows, each found from the cursor of the one before.
std::string search_ids(const View& view, const std::string& text, size_t page) {
  auto cursor = std::optional<Cursor>();
  std::string ids;
  while (true) {
    auto filter = parse_filter(text, kNow);
    if (!filter) return fmt::format("{} {} {}", filter.error().position, filter.error().length, filter.error().suggestion);
    Search search(view, std::move(*filter), cursor);
    size_t rows = 0;
    bool done = false;
    while (!done && rows < page) {
      const auto step = search.step(page - rows, std::chrono::seconds(5), [&](const Row& row) {
        ids += fmt::format("{}{}", ids.empty() ? "" : " ", row.id);
        ++rows;
      });
      if (!step) return step.error().message;
      done = *step;
    }
    if (done) return ids;
    cursor = search.cursor();
  }
}

std::string row_text(const View& view, const std::string& text) {
  auto filter = parse_filter(text, kNow);
  if (!filter) return filter.error().message;
  Search search(view, std::move(*filter), std::nullopt);
  std::string out;
  const auto done = search.step(1, std::chrono::seconds(5), [&](const Row& row) {
    out = fmt::format("{} {} {} {} user {} pid {} records {}", row.id, to_text(row.state),
                      row.internal ? to_text(*row.internal) : "-", row.external ? to_text(*row.external) : "-",
                      row.record.text_or(Field::kUser, "-"), row.record.uint_or(Field::kPid, 0), fmt::join(row.records, ","));
  });
  return done ? out : done.error().message;
}

// "owner complete | It was … | matches owned 10.0.0.1:1 pid 7; ruled_out owned …"
std::string who_text(const View& view, const std::string& text) {
  WhoParts parts;
  // peer= and host= stand after the question.
  std::string rest = text;
  for (const auto& [name, target] :
       {std::pair{" peer=", &parts.peer}, std::pair{" host=", &parts.host}, std::pair{" window=", &parts.window}}) {
    const size_t at = rest.find(name);
    if (at == std::string::npos) continue;
    const size_t end = std::min(rest.find(' ', at + 1), rest.size());
    *target = rest.substr(at + std::string_view(name).size(), end - at - std::string_view(name).size());
    rest.erase(at, end - at);
  }
  parts.text = rest;
  const auto question = read_who_question(parts, kNow);
  if (!question) return question.error().message;
  Coverage coverage;
  const auto answer = who(view, coverage, *question, kNow);
  if (!answer) return answer.error().message;
  std::string out = fmt::format("{} {} | {}", to_text(answer->verdict), to_text(answer->completeness.state), answer->sentence);
  for (const Candidate& one : answer->candidates) {
    out += fmt::format(" | {} {} {} pid {}, {}",
                       one.verdict == Candidate::Verdict::kMatches    ? "matches"
                       : one.verdict == Candidate::Verdict::kRuledOut ? "ruled_out"
                                                                      : "not_covering",
                       one.relation == Candidate::Relation::kOwned    ? "owned"
                       : one.relation == Candidate::Relation::kSeenBy ? "seen_by"
                                                                      : "listener",
                       one.internal ? to_text(*one.internal) : "-", one.process ? one.process->record.uint(Field::kPid) : 0,
                       one.state.substr(0, one.state.find(" at ")));
  }
  return out;
}

// "sentence | proven connection 6>8 7,9 | …": the edges by their connections' main records, and the records that they rest on.
std::string trace_text(const View& view, const std::string& asked) {
  const auto question = read_trace_question({asked, "", "", "", "", ""}, kNow);
  if (!question) return question.error().message;
  Coverage coverage;
  const auto answer = trace(view, coverage, *question, kNow);
  if (!answer) return answer.error().message;
  std::vector<std::string> edges;
  for (const TraceEdge& edge : answer->edges) {
    edges.push_back(fmt::format(" | {} {} {}>{} {}",
                                edge.certainty == Hop::Class::kProven   ? "proven"
                                : edge.certainty == Hop::Class::kStated ? "stated"
                                                                        : "possible",
                                edge.kind == TraceEdge::Kind::kConnection ? "connection" : "process",
                                answer->nodes[edge.from].connection.main, answer->nodes[edge.to].connection.main,
                                fmt::join(edge.records, ",")));
  }
  std::ranges::sort(edges);
  std::string text = answer->sentence + fmt::format("{}", fmt::join(edges, ""));
  for (const Contradiction& one : answer->contradictions)
    text += fmt::format(" | contradiction {} {}", fmt::join(one.records, ","), one.text);
  for (const std::string& bound : answer->bounds) text += fmt::format(" | bound {}", bound);
  for (const Missing& one : answer->completeness.missing) {
    if (one.gap.cause.starts_with("no line of")) text += fmt::format(" | missing {} {}", one.source, one.gap.cause);
  }
  return text;
}

// "nginx on web-7 > 198.51.100.9 443/tcp 3 1 failed 0 open 10 out 20 in | …"
std::string map_text(const View& view, const std::string& text) {
  auto filter = parse_filter(text, kNow);
  if (!filter) return filter.error().message;
  const auto map = service_map(view, std::move(*filter), std::chrono::seconds(5));
  if (!map) return map.error().message;
  std::string out;
  for (const ServiceLink& link : map->links) {
    out += fmt::format("{}{} > {} {} {} {} failed {} open {} out {} in", out.empty() ? "" : " | ", to_text(link.from),
                       to_text(link.to), link.port, link.count, link.failed, link.open, link.bytes_out, link.bytes_in);
  }
  return out;
}

// "7 connections: 7 7 6 5 | external 1 0 | #6 both_ports | …", the four counts in the order of Quality.
std::string coverage_text(const View& view, const std::string& text) {
  auto filter = parse_filter(text, kNow);
  if (!filter) return filter.error().message;
  Coverage coverage;
  const auto report = coverage_report(view, coverage, std::move(*filter), text, kNow, std::chrono::seconds(5));
  if (!report) return report.error().message;
  std::string out = fmt::format("{} connections: {} | external {} {}", report->connections, fmt::join(report->with, " "),
                                report->external_known, report->external_same);
  for (const auto& [reason, count] : report->external_unknown) out += fmt::format(" {} {}", reason, count);
  for (const Exception& one : report->exceptions) {
    out += fmt::format(" | #{}", one.record);
    for (const Quality quality : one.lacks) out += fmt::format(" {}", to_text(quality));
  }
  const std::string html = to_html(*report, "book");
  EXPECT_EQ(html.contains(fmt::format("Exceptions ({})", report->exceptions_total)), true);
  return out;
}

std::string answer_to(const View& view, const std::string& line) {
  const size_t blank = line.find(' ');
  const std::string command = line.substr(0, blank);
  const std::string rest = blank == std::string::npos ? "" : line.substr(blank + 1);
  if (command == "row") return row_text(view, rest);
  if (command == "who") return who_text(view, rest);
  if (command == "map") return map_text(view, rest);
  if (command == "coverage") return coverage_text(view, rest);
  if (command == "trace") return trace_text(view, rest);
  if (command != "search") return "there is no " + command;
  const std::string ids = search_ids(view, rest, 1000);
  EXPECT_EQ(search_ids(view, rest, 1), ids) << "pages of one row differ from one page: " << rest;
  EXPECT_EQ(search_ids(view, rest, 2), ids) << "pages of two rows differ from one page: " << rest;
  return ids;
}

class QueryText : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(QueryText, AnswersAsWritten) {
  std::ifstream file(GetParam());
  ASSERT_TRUE(file.is_open());
  std::vector<Record> records;
  std::string question;
  size_t number = 0;
  size_t answers = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with('{')) {
      Record record;
      const auto read = from_json(line, record);
      ASSERT_TRUE(read.has_value()) << GetParam() << ":" << number << ": " << read.error().message;
      records.push_back(record);
    } else if (line.starts_with("->")) {
      ++answers;
      const std::string expected = line.size() > 3 ? line.substr(3) : "";
      EXPECT_EQ(answer_to(view_of(records), question), expected) << GetParam().filename() << ":" << number << ": " << question;
    } else {
      question = line;
    }
  }
  EXPECT_GT(answers, 0u);
}

std::vector<std::filesystem::path> files() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(PORTBOOK_SOURCE_DIR "/tests/query")) {
    if (entry.path().extension() == ".test") found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

INSTANTIATE_TEST_SUITE_P(Files, QueryText, testing::ValuesIn(files()),
                         [](const auto& parameter) { return parameter.param.stem().string(); });

}  // namespace
}  // namespace portbook
