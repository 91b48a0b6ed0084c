// What the book and its capture are doing: status, sources.
#include <fmt/format.h>

#include <algorithm>

#include "query/json_writer.h"
#include "query/who.h"
#include "server/api.h"

namespace portbook {

namespace {

constexpr uint64_t kDayNs = 24 * 3600 * kNsPerSecond;

struct ClockLine {
  bool synchronised = true;
  std::optional<uint64_t> error_ns;  // the greatest of all sources
};

ClockLine clock_of(const std::vector<Source>& sources) {
  ClockLine line;
  line.synchronised = !sources.empty();
  for (const Source& source : sources) {
    if (!source.clock_synchronised) line.synchronised = false;
    if (source.clock_error_ns) line.error_ns = std::max(line.error_ns.value_or(0), *source.clock_error_ns);
  }
  if (!line.synchronised) line.error_ns.reset();
  return line;
}

void append_capture(const std::vector<CaptureLine>& lines, Json& json) {
  json.open("capture", '[');
  for (const CaptureLine& line : lines) {
    json.open('{');
    json.text("what", line.what);
    json.text("state", line.state);
    json.text("means", line.means);
    json.text("detail", line.detail);
    json.close('}');
  }
  json.close(']');
}

// The earliest time of any record, which need not be the first one's: history is imported, agents catch up.
std::optional<TimeNs> first_time(const View& view) {
  std::optional<TimeNs> first;
  for (const BlockRef& ref : view.blocks()) {
    if (ref.rows > 0) first = std::min(first.value_or(ref.block->time_min()), ref.block->time_min());
  }
  return first;
}

std::string_view state_of(const AgentStatus& agent) {
  if (agent.awaited) return "awaited";
  if (agent.connected) return agent.capturing ? "capturing" : "connected";
  return agent.stopped ? "stopped" : "away";
}

// How many gaps the host's sources have recorded: those that still stand, those that ended within a day, and all.
void append_gap_counts(const std::vector<Source>& sources, std::string_view host, TimeNs now, Json& json) {
  uint64_t standing = 0;
  uint64_t last_day = 0;
  uint64_t total = 0;
  for (const Source& source : sources) {
    if (source.host != host) continue;
    total += source.gaps.size();
    for (const Gap& gap : source.gaps) {
      if (!gap.to) ++standing;
      if (gap.to && *gap.to + kDayNs >= now) ++last_day;
    }
  }
  json.open("gaps", '{');
  json.number("standing", standing);
  json.number("last_day", last_day);
  json.number("total", total);
  json.close('}');
}

void append_agents(const std::vector<AgentStatus>& agents, const std::vector<Source>& sources, TimeNs now, Json& json) {
  json.open("agents", '[');
  for (const AgentStatus& agent : agents) {
    json.open('{');
    json.text("host", agent.host);
    json.text("state", state_of(agent));
    json.text("since", format_time(agent.since));
    json.time("behind_since", agent.behind_since);
    json.text("version", agent.program);
    json.number("uid", uint64_t{agent.uid});
    json.number("pid", static_cast<uint64_t>(agent.pid));
    json.time("last_batch", agent.last_batch);
    json.number("batches", agent.batches);
    json.number("records", agent.records);
    json.number("refused_batches", agent.refused);
    json.text_or_null("refusal", agent.refusal);
    json.number("spool_bytes", agent.spool_bytes);
    json.number("spool_bytes_max", agent.spool_bytes_max);
    append_gap_counts(sources, agent.host, now, json);
    std::vector<CaptureLine> lines;
    for (const AgentStatus::Line& line : agent.lines) lines.push_back({line.what, line.state, line.means, line.detail});
    append_capture(lines, json);
    json.open("totals", '{');
    for (const auto& [name, value] : agent.numbers) json.number(name, value);
    json.close('}');
    json.close('}');
  }
  json.close(']');
}

void append_gaps(const std::vector<Gap>& gaps, Json& json) {
  json.open("gaps", '[');
  for (const Gap& gap : gaps) {
    json.open('{');
    json.text("from", format_time(gap.from));
    json.time("to", gap.to);
    json.number("count", gap.count);
    json.text("cause", gap.cause);
    json.number("record", gap.record);
    json.close('}');
  }
  json.close(']');
}

std::string_view state_of(const Source& source, TimeNs now) {
  if (source.runs.empty() || source.runs.back().to) return "stopped";
  if (source.absence) return "gap";
  const bool open_gap =
      std::ranges::any_of(source.gaps, [&](const Gap& gap) { return gap.from <= now && (!gap.to || *gap.to > now); });
  return open_gap ? "gap" : "capturing";
}

}  // namespace

Result<std::string> status_json(ApiContext& api) {
  const View view = api.book.view();
  if (auto status = api.coverage.refresh(view); !status) return std::unexpected(status.error());
  const TimeNs now = api.clock.now();
  const std::vector<Source> sources = api.coverage.sources();
  const ClockLine clock = clock_of(sources);
  std::string out;
  Json json(out);
  json.open('{');
  json.text("origin", api.book.origin());
  json.text("vkey", api.book.vkey());
  json.text("version", api.options.version);
  json.text("host", api.options.host);
  json.number("size", view.size());
  json.text("checkpoint", api.book.checkpoint());
  json.text("started", format_time(api.options.started));
  json.text_or_null("read_only", api.book.read_only_reason().value_or(""));
  json.text("recovery", api.book.recovery_report());
  json.raw("completeness", to_json(api.coverage.over(now, now)));
  json.open("clock", '{');
  json.text("state", clock.synchronised ? "synchronised" : "not_synchronised");
  json.number("error_ns", clock.error_ns);
  json.close('}');
  std::vector<CaptureLine> lines = api.capture_lines();
  if (const auto stall = api.book.stalled()) {
    lines.push_back({"Writing", "off", "disk",
                     fmt::format("Nothing has been written since {}: {}.", format_time(stall->since), stall->reason)});
  }
  const SelfCheckState self_check = api.book.self_check();
  if (self_check.findings > 0) {
    lines.push_back(
        {"Stored records", "off", "self-check",
         fmt::format("{} not as they were written. {}. `portbook verify` names what else is wrong; a copy of the file "
                     "from a backup mends it.",
                     self_check.findings == 1 ? "One block of them is" : fmt::format("{} blocks of them are", self_check.findings),
                     self_check.sentences.front())});
  }
  if (const auto& dropped = view.dropped()) {
    lines.push_back({"Retention", "ok", "--keep-days, --keep-size",
                     fmt::format("Records below {}, up to {}, are no longer kept.", dropped->below, format_time(dropped->until))});
  }
  append_capture(lines, json);
  append_agents(api.options.agents ? api.options.agents() : std::vector<AgentStatus>(), sources, now, json);
  json.open("self_check", '{');
  json.number("rate", self_check.rate);
  json.number("blocks", self_check.blocks);
  json.number("bytes", self_check.bytes);
  json.number("passes", self_check.passes);
  json.text_or_null("pass_ended", self_check.pass_ended ? format_time(*self_check.pass_ended) : "");
  json.number("findings", self_check.findings);
  json.open("sentences", '[');
  for (const std::string& sentence : self_check.sentences) json.element(sentence);
  json.close(']');
  json.close('}');
  json.raw("records_per_second", fmt::format("{:.1f}", api.records_per_second()));
  json.time("first_record", first_time(view));
  json.open("claimed", '[');
  for (const Ip& ip : api.coverage.claimed_now()) json.element(to_text(ip));
  json.close(']');
  json.close('}');
  return out;
}

HttpResponse answer_status(ApiContext& api, const HttpRequest&, std::string_view) {
  const auto status = status_json(api);
  return status ? json_response(*status + "\n") : error_response(status.error());
}

HttpResponse answer_sources(ApiContext& api, const HttpRequest&, std::string_view) {
  if (auto status = api.coverage.refresh(api.book.view()); !status) return error_response(status.error());
  const TimeNs now = api.clock.now();
  std::string out;
  Json json(out);
  json.open('[');
  for (const Source& source : api.coverage.sources()) {
    json.open('{');
    json.text("source", source.name);
    json.text("host", source.host);
    json.text("state", state_of(source, now));
    json.time("since", source.runs.empty() ? std::nullopt : std::optional(source.runs.back().from));
    json.text("covers", source.covers);
    json.text("means", source.means);
    json.number("last_seq", api.book.last_seq(source.name));
    append_gaps(source.gaps, json);
    json.number("clock_error_ns", source.clock_error_ns);
    json.close('}');
  }
  json.close(']');
  return json_response(out + "\n");
}

}  // namespace portbook
