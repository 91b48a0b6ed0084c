// /metrics, in Prometheus' text format 0.0.4. docs/server.md lists every metric; a test holds the list against this.
#include <fmt/format.h>

#include <algorithm>

#include "server/api.h"

namespace portbook {

namespace {

// A label's value: https://prometheus.io/docs/instrumenting/exposition_formats, "Comments, help text, and type information".
std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

class Metrics {
 public:
  // Opens a metric; its samples follow.
  void open(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    out_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  void sample(auto value) { out_ += fmt::format("{} {}\n", name_, value); }
  void sample(std::string_view label, std::string_view said, auto value) {
    out_ += fmt::format("{}{{{}={}}} {}\n", name_, label, quoted(said), value);
  }
  void one(std::string_view name, std::string_view type, std::string_view help, auto value) {
    open(name, type, help);
    sample(value);
  }
  void histogram(std::string_view route, const RequestTimes::Histogram& times) {
    const std::string label = quoted(route);
    for (size_t i = 0; i < RequestTimes::kBuckets.size(); ++i)
      out_ += fmt::format("{}_bucket{{route={},le=\"{}\"}} {}\n", name_, label, RequestTimes::kBuckets[i], times.up_to[i]);
    out_ += fmt::format("{}_bucket{{route={},le=\"+Inf\"}} {}\n", name_, label, times.count);
    out_ += fmt::format("{}_sum{{route={}}} {}\n{}_count{{route={}}} {}\n", name_, label, times.seconds, name_, label, times.count);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string name_;
  std::string out_;
};

void add_book(ApiContext& api, const View& view, Metrics& metrics) {
  metrics.open("portbook_build_info", "gauge", "1; its label is the version.");
  metrics.sample("version", api.options.version, 1);
  metrics.one("portbook_start_time_seconds", "gauge", "When the book was started, in seconds since 1970.",
              fmt::format("{:.3f}", static_cast<double>(api.options.started) / 1e9));
  metrics.one("portbook_records_total", "counter", "Records acknowledged: durable, in the signed tree, searchable.", view.size());
  metrics.one("portbook_records_kept", "gauge", "Records that retention has not dropped.", view.size() - view.first_index());
  const auto blocks = view.blocks();
  const auto sealed = std::ranges::count_if(blocks, [](const BlockRef& ref) { return ref.block->sealed_rows().has_value(); });
  metrics.open("portbook_blocks", "gauge", "Blocks of records, sealed and still open.");
  metrics.sample("state", "sealed", sealed);
  metrics.sample("state", "open", static_cast<ptrdiff_t>(blocks.size()) - sealed);
  metrics.one("portbook_read_only", "gauge", "1 when the book refuses writes.", api.book.read_only_reason() ? 1 : 0);
  metrics.one("portbook_write_stalled", "gauge", "1 while what sources hand over waits, as for a full disk.",
              api.book.stalled() ? 1 : 0);
}

void add_self_check(const SelfCheckState& check, Metrics& metrics) {
  metrics.one("portbook_self_check_blocks_total", "counter", "Sealed blocks that the book read again and checked.", check.blocks);
  metrics.one("portbook_self_check_bytes_total", "counter", "Bytes that it read for that.", check.bytes);
  metrics.one("portbook_self_check_passes_total", "counter", "Times that it has been through all sealed blocks.", check.passes);
  metrics.one("portbook_self_check_findings_total", "counter", "Blocks that were not as they were written.", check.findings);
}

void add_folder(const StoredBytes& stored, Metrics& metrics) {
  metrics.open("portbook_stored_bytes", "gauge", "Bytes of the book's files: log, segments, index, other.");
  metrics.sample("part", "log", stored.log);
  metrics.sample("part", "segments", stored.segments);
  metrics.sample("part", "index", stored.index);
  metrics.sample("part", "other", stored.other);
  metrics.one("portbook_disk_free_bytes", "gauge", "Bytes that the disk under the book still takes.", stored.disk_free);
}

void add_sources(const std::vector<Source>& sources, TimeNs now, Metrics& metrics) {
  const auto each = [&](std::string_view name, std::string_view type, std::string_view help, const auto& value) {
    metrics.open(name, type, help);
    for (const Source& source : sources) metrics.sample("source", source.name, value(source));
  };
  each("portbook_source_gaps_total", "counter", "Gaps that a source recorded.", [](const Source& one) { return one.gaps.size(); });
  each("portbook_source_gaps_standing", "gauge", "Gaps that have not ended, also that of an agent that is away.",
       [&](const Source& one) {
         return std::ranges::count_if(one.gaps, [&](const Gap& gap) { return !gap.to || *gap.to > now; }) + (one.absence ? 1 : 0);
       });
  each("portbook_source_lost_records_total", "counter", "Records that its gaps say were lost, where they know how many.",
       [](const Source& one) {
         uint64_t lost = 0;
         for (const Gap& gap : one.gaps) lost += gap.count.value_or(0);
         return lost;
       });
  each("portbook_source_capturing", "gauge", "1 while a run of it goes on.",
       [](const Source& one) { return one.runs.empty() || one.runs.back().to ? 0 : 1; });
  each("portbook_source_clock_synchronised", "gauge", "1 when its clock is synchronised.",
       [](const Source& one) { return one.clock_synchronised ? 1 : 0; });
}

void add_agents(const std::vector<AgentStatus>& agents, Metrics& metrics) {
  const auto each = [&](std::string_view name, std::string_view type, std::string_view help, const auto& value) {
    metrics.open(name, type, help);
    for (const AgentStatus& agent : agents) metrics.sample("host", agent.host, value(agent));
  };
  each("portbook_agent_connected", "gauge", "1 while the host's agent is connected.",
       [](const AgentStatus& one) { return one.connected ? 1 : 0; });
  each("portbook_agent_spool_bytes", "gauge", "Bytes in the agent's spool, which wait for the book.",
       [](const AgentStatus& one) { return one.spool_bytes; });
  each("portbook_agent_spool_bytes_max", "gauge", "Bytes that the agent's spool may hold.",
       [](const AgentStatus& one) { return one.spool_bytes_max; });
}

void add_ingest(const IngestStatistics& ingest, Metrics& metrics) {
  metrics.one("portbook_ingest_records_total", "counter", "Records accepted from agents.", ingest.records);
  metrics.one("portbook_ingest_bytes_total", "counter", "Bytes of records accepted from agents.", ingest.bytes);
  metrics.one("portbook_ingest_batches_total", "counter", "Batches accepted from agents.", ingest.batches);
  metrics.one("portbook_ingest_refused_batches_total", "counter", "Batches of agents that never will be accepted.",
              ingest.refused_batches);
  metrics.one("portbook_ingest_connections_total", "counter", "Connections of agents.", ingest.connections);
  metrics.one("portbook_ingest_refused_connections_total", "counter", "Connections of agents that were refused.",
              ingest.refused_connections);
}

void add_http(const HttpStatistics& http, Metrics& metrics) {
  metrics.one("portbook_http_requests_total", "counter", "Requests read.", http.requests);
  metrics.one("portbook_http_refused_total", "counter", "Requests answered with an error, and connections refused.", http.refused);
  metrics.one("portbook_http_connections", "gauge", "Connections open.", http.connections);
  metrics.one("portbook_http_streams", "gauge", "Answers that stream, without tails.", http.streams);
  metrics.one("portbook_http_tails", "gauge", "Tails open.", http.tails);
}

void add_times(const RequestTimes& times, Metrics& metrics) {
  metrics.open("portbook_http_request_duration_seconds", "histogram",
               "Work on an answer, by route; of one that streams the sum of its pieces, without its client's time; no tails.");
  const auto routes = api_routes();
  for (size_t i = 0; i < routes.size(); ++i) {
    if (const auto histogram = times.of(i); histogram.count > 0) metrics.histogram(routes[i].path, histogram);
  }
}

}  // namespace

HttpResponse answer_metrics(ApiContext& api, const HttpRequest&, std::string_view) {
  const View view = api.book.view();
  if (auto status = api.coverage.refresh(view); !status) return error_response(status.error());
  Metrics metrics;
  add_book(api, view, metrics);
  add_self_check(api.book.self_check(), metrics);
  if (api.options.stored) add_folder(api.options.stored(), metrics);
  add_sources(api.coverage.sources(), api.clock.now(), metrics);
  if (api.options.agents) add_agents(api.options.agents(), metrics);
  if (api.options.ingest_statistics) add_ingest(api.options.ingest_statistics(), metrics);
  if (api.options.readers)
    metrics.one("portbook_readers", "gauge", "Tokens that may read, expired ones too.", api.options.readers());
  if (api.options.http_statistics) add_http(api.options.http_statistics(), metrics);
  add_times(api.times, metrics);
  HttpResponse response = text_response(metrics.take());
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

}  // namespace portbook
