// The page that explains an evidence file to somebody who has never seen portbook.
#include <fmt/format.h>
#include <simdjson.h>

#include "query/evidence.h"
#include "query/html.h"
#include "query/moment.h"
#include "record/cbor.h"
#include "record/json.h"

namespace portbook {

namespace {

using simdjson::dom::element;

std::string text_of(element object, std::string_view name) {
  element value;
  if (!object.is_object() || object.at_key(name).get(value) != simdjson::SUCCESS || value.is_null()) return {};
  std::string_view text;
  return value.get(text) == simdjson::SUCCESS ? std::string(text) : simdjson::minify(value);
}

// Calls visit for each element of the array of that name, if it is there.
template <typename Visit>
void each(element object, std::string_view name, Visit visit) {
  simdjson::dom::array array;
  if (!object.is_object() || object.at_key(name).get(array) != simdjson::SUCCESS) return;
  for (const element one : array) visit(one);
}

void append_completeness(element answer, HtmlPage& page) {
  element completeness;
  if (!answer.is_object() || answer.at_key("completeness").get(completeness) != simdjson::SUCCESS) return;
  page.heading("Is the answer complete?");
  page.paragraph(text_of(completeness, "sentence"));
  std::vector<std::vector<std::string>> gaps;
  each(completeness, "missing", [&](element gap) {
    const auto or_else = [&](const char* name, std::string_view otherwise) {
      const std::string text = text_of(gap, name);
      return text.empty() ? std::string(otherwise) : text;
    };
    const std::string record = text_of(gap, "record");
    gaps.push_back({text_of(gap, "source"), or_else("from", "from the beginning"), or_else("to", "not ended"),
                    text_of(gap, "cause"), record.empty() ? "none" : "#" + record});
  });
  if (!gaps.empty()) page.table({"what was not recorded", "from", "to", "why", "record"}, gaps);
}

// The candidates of `who`, each with the chain that leads to it.
void append_candidates(element answer, HtmlPage& page) {
  each(answer, "candidates", [&](element candidate) {
    page.heading(fmt::format("Candidate: {}, {}", text_of(candidate, "verdict"), text_of(candidate, "relation")));
    page.paragraph(fmt::format("{} {}", text_of(candidate, "state"), text_of(candidate, "reason")));
    std::vector<std::vector<std::string>> hops;
    each(candidate, "hops", [&](element hop) {
      hops.push_back({text_of(hop, "title"), text_of(hop, "text"), text_of(hop, "class"), text_of(hop, "records")});
    });
    if (!hops.empty()) page.table({"step", "what it is", "certainty", "records"}, hops);
  });
}

void append_path(element answer, HtmlPage& page) {
  std::vector<std::vector<std::string>> nodes;
  each(answer, "nodes", [&](element node) {
    element process;
    const bool known = node.at_key("process").get(process) == simdjson::SUCCESS && process.is_object();
    nodes.push_back({"#" + text_of(node, "record"), text_of(node, "host"),
                     known
                         ? fmt::format("{} (pid {}) {}", text_of(process, "exe"), text_of(process, "pid"), text_of(process, "user"))
                         : "unknown process",
                     text_of(node, "direction") == "in" ? "accepted" : "opened",
                     fmt::format("{} → {}", text_of(node, "src"), text_of(node, "dst"))});
  });
  if (nodes.empty()) return;
  page.heading("Connections of the path");
  page.table({"record", "host", "process", "did", "connection"}, nodes);
  std::vector<std::vector<std::string>> edges;
  each(answer, "edges", [&](element edge) {
    edges.push_back({text_of(edge, "class"), text_of(edge, "method"), text_of(edge, "order"), text_of(edge, "records")});
  });
  page.heading("Steps between them");
  page.table({"certainty", "how it is known", "order", "records"}, edges);
  each(answer, "bounds", [&](element bound) { page.warning(bound.get_c_str().value()); });
}

void append_answer(const std::string_view whole, HtmlPage& page) {
  std::string_view answer = whole;
  std::vector<std::vector<std::string>> rows;
  while (!answer.empty()) {
    const std::string_view line = answer.substr(0, answer.find('\n'));
    answer.remove_prefix(std::min(line.size() + 1, answer.size()));
    simdjson::dom::parser parser;
    const simdjson::padded_string padded(line);
    element parsed;
    if (line.empty() || parser.parse(padded).get(parsed) != simdjson::SUCCESS) continue;
    element row;
    if (parsed.is_object() && parsed.at_key("row").get(row) == simdjson::SUCCESS) {
      rows.push_back({"#" + text_of(row, "id"), text_of(row, "start"), text_of(row, "state"), text_of(row, "internal"),
                      text_of(row, "external")});
      continue;
    }
    element end;
    if (parsed.is_object() && parsed.at_key("end").get(end) == simdjson::SUCCESS) {
      page.heading("Rows");
      page.table({"record", "began", "state", "internal", "external"}, rows);
      if (const std::string cut = evidence_cut(whole); !cut.empty()) page.warning(cut);
      append_completeness(end, page);
      continue;
    }
    page.heading("Answer");
    page.paragraph(fmt::format("{}.", text_of(parsed, "sentence")));
    if (!text_of(parsed, "detail").empty()) page.paragraph(text_of(parsed, "detail"));
    append_completeness(parsed, page);
    append_candidates(parsed, page);
    append_path(parsed, page);
  }
}

void append_records(const Evidence& evidence, HtmlPage& page) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [index, proven] : evidence.records) {
    Record record;
    if (!decode(proven.bytes, record)) {
      rows.push_back({fmt::format("#{}", index), "", "", "cannot be read"});
      continue;
    }
    rows.push_back({fmt::format("#{}", index), record.has(Field::kTime) ? moment_text(record.time(), 1) : "",
                    std::string(enum_name(Field::kKind, static_cast<uint64_t>(record.kind()))), to_json(record)});
  }
  page.table({"record", "time", "kind", "what it says"}, rows);
}

}  // namespace

std::string evidence_report(const Evidence& evidence) {
  HtmlPage page("Evidence from a connection log");
  page.paragraph(
      "A computer recorded its network connections as they happened, each as one record in a log that is signed as it grows. This "
      "page "
      "shows an answer that was drawn from that log, and every record that the answer names.");
  page.heading("Question");
  page.preformatted(evidence.asked);
  append_answer(evidence.answer, page);
  page.heading(fmt::format("Records ({})", evidence.records.size()));
  append_records(evidence, page);
  page.heading("How to check it");
  page.paragraph(
      "Each record stands in the file with its exact bytes and a proof that these bytes are part of the signed log. Changing, "
      "adding or "
      "leaving out one byte of a record makes its proof fail. The words of the answer above are drawn from the records and are not "
      "signed "
      "themselves: where they matter, hold them against the records.");
  page.preformatted(fmt::format("portbook verify FILE --vkey '{}'", evidence.vkey));
  page.paragraph(
      "The key must come from somebody who kept it apart from this file. The proofs are in the C2SP tlog-proof format, so that "
      "programs "
      "by others can check them too.");
  return page.finished();
}

}  // namespace portbook
