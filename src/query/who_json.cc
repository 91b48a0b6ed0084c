#include <fmt/format.h>

#include "query/json_writer.h"
#include "query/who.h"
#include "record/json.h"

namespace portbook {

namespace {

void append_question(const WhoAnswer& answer, Json& json) {
  const WhoQuestion& question = answer.question;
  json.open("question", '{');
  json.text("text", question.text);
  json.text("endpoint", to_text(question.endpoint));
  json.text("at", format_time(question.at));
  json.text("until", format_time(question.at + question.precision_ns));
  json.number("precision_ns", question.precision_ns);
  json.endpoint("peer", question.peer);
  json.text_or_null("host", question.host);
  json.number("window_ns", answer.window_ns);
  json.open("spans", '[');
  for (const PasteSpan& span : question.spans) {
    json.open('{');
    json.number("start", span.start);
    json.number("end", span.end);
    json.text("role", to_text(span.role));
    json.close('}');
  }
  json.close(']');
  json.close('}');
}

// Text that is not UTF-8 stands as \xHH in what people read; the record itself has its bytes.
std::string readable(const Record& record, Field field) {
  return record.has(field) ? to_display(record, field) : std::string();
}

void append_process_members(const ProcessFact& fact, Json& json) {
  const Record& record = fact.record;
  const auto number = [&](std::string_view name, Field field) {
    json.number(name, record.has(field) ? std::optional(record.uint(field)) : std::nullopt);
  };
  number("pid", Field::kPid);
  json.time("start", record.has(Field::kProcessStart) ? std::optional(record.uint(Field::kProcessStart)) : std::nullopt);
  for (const Field field : {Field::kExe, Field::kComm, Field::kCmdline, Field::kCwd})
    json.text_or_null(info(field).name, readable(record, field));
  number("uid", Field::kUid);
  json.text_or_null("user", readable(record, Field::kUser));
  number("loginuid", Field::kLoginUid);
  json.text_or_null("login_user", readable(record, Field::kLoginUser));
  number("audit_session", Field::kAuditSession);
  json.text_or_null("container", readable(record, Field::kContainer));
  json.text_or_null("container.name", readable(record, Field::kContainerName));
  json.number("record", fact.id);
}

std::string_view verdict_text(Candidate::Verdict verdict) {
  return verdict == Candidate::Verdict::kMatches    ? "matches"
         : verdict == Candidate::Verdict::kRuledOut ? "ruled_out"
                                                    : "not_covering";
}
std::string_view relation_text(Candidate::Relation relation) {
  return relation == Candidate::Relation::kOwned ? "owned" : relation == Candidate::Relation::kSeenBy ? "seen_by" : "listener";
}
std::string_view position_text(Candidate::Position position) {
  return position == Candidate::Position::kCovers ? "covers" : position == Candidate::Position::kBefore ? "before" : "after";
}
std::string_view class_text(Hop::Class certainty) {
  return certainty == Hop::Class::kProven ? "proven" : certainty == Hop::Class::kStated ? "stated" : "possible";
}
std::string_view kind_text(Hop::Kind kind) {
  switch (kind) {
    case Hop::Kind::kEndpoint: return "endpoint";
    case Hop::Kind::kLease: return "lease";
    case Hop::Kind::kSocket: return "socket";
    case Hop::Kind::kProcess: return "process";
    case Hop::Kind::kAncestor: return "ancestor";
  }
  return "endpoint";
}

void append_lease(const Candidate& candidate, Json& json) {
  if (!candidate.lease) return json.null("lease");
  json.open("lease", '{');
  json.time("start", candidate.lease->start);
  json.time("end", candidate.lease->end);
  json.endpoint("internal", candidate.lease->internal);
  json.endpoint("external", candidate.lease->external);
  json.number("record", candidate.lease->records.front());
  json.close('}');
}

void append_hops(const Candidate& candidate, Json& json) {
  json.open("hops", '[');
  for (const Hop& hop : candidate.hops) {
    json.open('{');
    json.text("class", class_text(hop.certainty));
    json.text("kind", kind_text(hop.kind));
    json.text("title", hop.title);
    json.text("text", hop.text);
    json.text("method", hop.method);
    json.numbers("records", hop.records);
    json.close('}');
  }
  json.close(']');
}

void append_candidate(const Candidate& candidate, Json& json) {
  json.open('{');
  json.text("verdict", verdict_text(candidate.verdict));
  json.text("relation", relation_text(candidate.relation));
  json.text("reason", candidate.reason);
  json.text("position", position_text(candidate.position));
  json.number("distance_ns", candidate.distance_ns);
  json.text("state", candidate.state);
  json.endpoint("internal", candidate.internal);
  json.endpoint("external", candidate.external);
  json.endpoint("peer", candidate.peer);
  json.endpoint("published", candidate.published);
  json.text_or_null("host", candidate.host);
  json.number("netns", candidate.netns);
  json.open("interval", '{');
  json.time("start", candidate.start);
  json.time("end", candidate.end);
  json.number("clock_error_ns", candidate.clock_error_ns);
  json.close('}');
  append_lease(candidate, json);
  if (candidate.process) {
    json.open("process", '{');
    append_process_members(*candidate.process, json);
    json.close('}');
  } else {
    json.null("process");
  }
  json.open("ancestors", '[');
  for (const ProcessFact& fact : candidate.ancestors) {
    json.open('{');
    append_process_members(fact, json);
    json.close('}');
  }
  json.close(']');
  append_hops(candidate, json);
  json.numbers("records", candidate.records);
  json.close('}');
}

void append_completeness(const CompletenessAnswer& completeness, Json& json) {
  json.open("completeness", '{');
  json.text("state", to_text(completeness.state));
  json.text("sentence", completeness.sentence);
  json.open("missing", '[');
  for (const Missing& missing : completeness.missing) {
    json.open('{');
    json.text("source", missing.source);
    json.time("from", missing.gap.from == 0 ? std::nullopt : std::optional(missing.gap.from));
    json.time("to", missing.gap.to);
    json.text("cause", missing.gap.cause);
    json.number("record", missing.gap.record);
    json.close('}');
  }
  json.close(']');
  json.open("sources", '[');
  for (const CompletenessAnswer::Resting& source : completeness.sources) {
    json.open('{');
    json.text("source", source.source);
    json.text("host", source.host);
    json.text("since", format_time(source.since));
    json.number("record", source.record);
    json.close('}');
  }
  json.close(']');
  json.close('}');
}

}  // namespace

std::string to_json(const ProcessFact& fact) {
  std::string out;
  Json json(out);
  json.open('{');
  append_process_members(fact, json);
  json.close('}');
  return out;
}

std::string to_json(const CompletenessAnswer& completeness) {
  std::string out;
  Json json(out);
  append_completeness(completeness, json);
  return out.substr(std::string_view("\"completeness\":").size());
}

std::string to_json(const WhoAnswer& answer, uint64_t took_us) {
  std::string out;
  Json json(out);
  json.open('{');
  append_question(answer, json);
  json.text("verdict", to_text(answer.verdict));
  json.text("sentence", answer.sentence);
  json.text("detail", answer.detail);
  json.open("candidates", '[');
  for (const Candidate& candidate : answer.candidates) append_candidate(candidate, json);
  json.close(']');
  append_completeness(answer.completeness, json);
  json.number("size", answer.size);
  json.number("took_us", took_us);
  json.close('}');
  return out;
}

}  // namespace portbook
