#include "query/evaluate.h"
#include "query/json_writer.h"
#include "query/trace.h"

namespace portbook {

namespace {

void append_node(size_t id, const TraceNode& node, bool start, Json& json) {
  const ConnectionFact& fact = node.connection;
  json.open('{');
  json.number("id", id);
  json.boolean("start", start);
  json.number("record", fact.main);
  json.text("conn", hex(fact.conn));
  json.text_or_null("host", fact.host);
  json.number("netns", fact.netns);
  json.text("direction", fact.inbound ? "in" : "out");
  json.text("proto", enum_name(Field::kProto, fact.tuple.proto));
  json.text("state", fact.failed ? "failed" : fact.end ? "closed" : "open");
  json.text("src", to_text(fact.tuple.src));
  json.text("dst", to_text(fact.tuple.dst));
  json.endpoint("external", fact.external);
  json.endpoint("server", fact.server);
  json.open("interval", '{');
  json.time("start", fact.start);
  json.text("seen", format_time(fact.seen));
  json.time("end", fact.end);
  json.number("clock_error_ns", fact.clock_error_ns);
  json.close('}');
  json.number("bytes_out", fact.bytes_out);
  json.number("bytes_in", fact.bytes_in);
  fact.process ? json.raw("process", to_json(*fact.process)) : json.null("process");
  json.open("ancestors", '[');
  for (const ProcessFact& parent : fact.ancestors) json.element_raw(to_json(parent));
  json.close(']');
  json.text_or_null("beyond", node.beyond);
  json.numbers("records", fact.records);
  json.close('}');
}

std::string_view class_text(Hop::Class certainty) {
  return certainty == Hop::Class::kProven ? "proven" : certainty == Hop::Class::kStated ? "stated" : "possible";
}

void append_edge(const TraceEdge& edge, Json& json) {
  json.open('{');
  json.text("class", class_text(edge.certainty));
  json.text("kind", edge.kind == TraceEdge::Kind::kConnection ? "connection" : "process");
  json.number("from", edge.from);
  json.number("to", edge.to);
  json.text("method", edge.method);
  json.text("order", edge.order);
  json.open("leases", '[');
  for (const Lease& lease : edge.leases) {
    json.open('{');
    json.text("host", lease.host);
    json.text("internal", to_text(lease.internal));
    json.text("asked_for", to_text(lease.asked_for));
    json.endpoint("external", lease.external);
    json.endpoint("server", lease.server);
    json.time("start", lease.start);
    json.time("end", lease.end);
    json.numbers("records", lease.records);
    json.close('}');
  }
  json.close(']');
  json.numbers("records", edge.records);
  json.close('}');
}

}  // namespace

std::string to_json(const TraceAnswer& answer, uint64_t took_us) {
  std::string out;
  Json json(out);
  json.open('{');
  json.open("question", '{');
  json.text("text", answer.question.text);
  json.number("record", answer.question.record);
  const bool endpoint = answer.question.who.has_value();
  json.endpoint("endpoint", endpoint ? std::optional(answer.question.who->endpoint) : std::nullopt);
  json.time("at", endpoint ? std::optional(answer.question.who->at) : std::nullopt);
  json.close('}');
  json.text("sentence", answer.sentence);
  json.open("nodes", '[');
  for (size_t i = 0; i < answer.nodes.size(); ++i)
    append_node(i, answer.nodes[i], std::ranges::find(answer.starts, i) != answer.starts.end(), json);
  json.close(']');
  json.open("edges", '[');
  for (const TraceEdge& edge : answer.edges) append_edge(edge, json);
  json.close(']');
  json.open("bounds", '[');
  for (const std::string& bound : answer.bounds) json.element(bound);
  json.close(']');
  json.open("contradictions", '[');
  for (const Contradiction& one : answer.contradictions) {
    json.open('{');
    json.text("text", one.text);
    json.numbers("records", one.records);
    json.close('}');
  }
  json.close(']');
  json.raw("completeness", to_json(answer.completeness));
  json.number("size", answer.size);
  json.number("took_us", took_us);
  json.close('}');
  return out;
}

}  // namespace portbook
