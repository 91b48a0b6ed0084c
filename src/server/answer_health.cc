// /healthz: what is wrong, in words.
#include <fmt/format.h>

#include "query/json_writer.h"
#include "server/api.h"

namespace portbook {

namespace {

constexpr uint64_t kLateNs = 5 * kNsPerSecond;     // an agent that came just now first hands over what it kept
constexpr uint64_t kSilentNs = 30 * kNsPerSecond;  // agents say many times a second up to when they have told everything

struct Problem {
  std::string_view what;
  bool failing = false;  // records are damaged, not written, or not known to be: 503
  std::string sentence;
};

std::string second_of(TimeNs time) {
  return format_time(time).substr(0, 19) + "Z";
}

void add_book(ApiContext& api, std::vector<Problem>& problems) {
  if (const auto reason = api.book.read_only_reason()) problems.push_back({"book", true, "The book is read-only: " + *reason});
  if (const auto stall = api.book.stalled())
    problems.push_back(
        {"book", true, fmt::format("Nothing has been written since {}: {}.", second_of(stall->since), stall->reason)});
  for (const std::string& finding : api.book.self_check().sentences)
    problems.push_back({"self_check", true, "The book's check of itself found damage: " + finding});
  for (const CaptureLine& line : api.capture_lines()) {
    if (line.state == "warn") problems.push_back({line.what == "Disk" ? "disk" : "capture", false, line.what + ": " + line.detail});
  }
}

void add_agents(ApiContext& api, std::vector<Problem>& problems) {
  if (!api.options.agents) return;
  for (const AgentStatus& agent : api.options.agents()) {
    if (agent.connected) continue;
    const std::string since = second_of(agent.since);
    if (agent.awaited) {
      problems.push_back(
          {"agent", false,
           fmt::format("The agent of {} was enrolled at {}, and has not been here since the book began.", agent.host, since)});
    } else if (agent.stopped) {
      problems.push_back({"agent", false, fmt::format("The agent of {} was stopped at {}.", agent.host, since)});
    } else {
      problems.push_back(
          {"agent", true, fmt::format("The agent of {} is away since {}: what it captures is not here yet.", agent.host, since)});
    }
  }
}

void add_sources(const std::vector<Source>& sources, TimeNs now, std::vector<Problem>& problems) {
  for (const Source& source : sources) {
    if (source.runs.empty() || source.runs.back().to) continue;
    if (source.absence && source.absence->from + kLateNs < now) {
      problems.push_back(
          {"source", false,
           fmt::format("{} has not delivered since {}: {}.", source.name, second_of(source.absence->from), source.absence->cause)});
    } else if (source.told_until && *source.told_until + kSilentNs < now) {
      problems.push_back(
          {"source", true, fmt::format("{} is silent: what it last told ends at {}.", source.name, second_of(*source.told_until))});
    }
    for (const Gap& gap : source.gaps) {
      if (gap.from <= now && (!gap.to || *gap.to > now))
        problems.push_back(
            {"source", false, fmt::format("{} has a gap since {}: {}.", source.name, second_of(gap.from), gap.cause)});
    }
    if (!source.clock_synchronised)
      problems.push_back({"clock", false,
                          fmt::format("The clock of {} is not synchronised: times of {} have no bound on their error.", source.host,
                                      source.name)});
  }
}

}  // namespace

HttpResponse answer_healthz(ApiContext& api, const HttpRequest&, std::string_view) {
  if (auto status = api.coverage.refresh(api.book.view()); !status) return error_response(status.error());
  std::vector<Problem> problems;
  add_book(api, problems);
  add_agents(api, problems);
  add_sources(api.coverage.sources(), api.clock.now(), problems);
  bool failing = false;
  std::string out;
  Json json(out);
  json.open('{');
  json.open("problems", '[');
  for (const Problem& problem : problems) {
    failing = failing || problem.failing;
    json.open('{');
    json.text("what", problem.what);
    json.boolean("failing", problem.failing);
    json.text("sentence", problem.sentence);
    json.close('}');
  }
  json.close(']');
  json.text("state", failing ? "failing" : problems.empty() ? "well" : "warn");
  json.close('}');
  HttpResponse response = json_response(out + "\n");
  response.status = failing ? 503 : 200;
  return response;
}

}  // namespace portbook
