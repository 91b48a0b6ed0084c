// portbook who --from FILE: a whole list of questions, answered in order, with a summary.
#include "cli/who_list.h"

#include <fmt/format.h>

#include <fstream>
#include <map>

#include "cli/output.h"
#include "cli/table.h"
#include "query/json_writer.h"
#include "query/question_list.h"

namespace portbook {

namespace {

using simdjson::dom::element;

constexpr auto kCsvColumns =
    std::to_array<std::string_view>({"line", "question", "endpoint", "at", "verdict", "completeness", "sentence", "host", "pid",
                                     "exe", "user", "login_user", "internal", "external", "records"});

std::string inner(element object, std::string_view first, std::string_view second) {
  element part;
  return object[first].get(part) == simdjson::SUCCESS && part.is_object() ? member(part, second) : std::string();
}

// The first candidate that matches; nothing when none does.
std::optional<element> first_match(element answer) {
  simdjson::dom::array candidates;
  if (answer["candidates"].get(candidates) != simdjson::SUCCESS) return std::nullopt;
  for (const element candidate : candidates) {
    if (member(candidate, "verdict") == "matches") return candidate;
  }
  return std::nullopt;
}

void print_row(size_t line, const std::string& text, element answer) {
  std::vector<std::string> cells = {std::to_string(line),
                                    text,
                                    inner(answer, "question", "endpoint"),
                                    inner(answer, "question", "at"),
                                    member(answer, "verdict"),
                                    inner(answer, "completeness", "state"),
                                    member(answer, "sentence")};
  if (const auto candidate = first_match(answer)) {
    cells.push_back(member(*candidate, "host"));
    for (const std::string_view name : {"pid", "exe", "user", "login_user"}) cells.push_back(inner(*candidate, "process", name));
    for (const std::string_view name : {"internal", "external"}) cells.push_back(member(*candidate, name));
    std::string records = member(*candidate, "records");
    std::erase_if(records, [](char c) { return c == '[' || c == ']'; });
    std::ranges::replace(records, ',', ' ');
    cells.push_back(std::move(records));
  }
  cells.resize(kCsvColumns.size());
  print_csv(cells);
}

void print_refused(size_t line, const std::string& text, const Error& error, ListForm form) {
  if (form == ListForm::kText) return say("{}\n  not a question: {}\n", text, error.message);
  if (form == ListForm::kCsv) {
    std::vector<std::string> cells = {std::to_string(line), text, "", "", "not_a_question", "", error.message};
    cells.resize(kCsvColumns.size());
    print_csv(cells);
    return;
  }
  std::string out;
  Json json(out);
  json.open('{');
  json.open("question", '{');
  json.text("text", text);
  json.close('}');
  json.open("error", '{');
  json.text("message", error.message);
  json.close('}');
  json.close('}');
  write_json(out + "\n");
}

void print_text(const std::string& text, element answer) {
  const std::string detail = member(answer, "detail");
  say("{}\n  {}{}{}\n", text, inked(Ink::kBold, member(answer, "sentence")), detail.empty() ? "" : ". ", detail);
  if (inner(answer, "completeness", "state") != "complete")
    say("  {}\n", inked(Ink::kWarn, inner(answer, "completeness", "sentence")));
}

struct Counts {
  std::map<std::string, size_t> verdicts;
  size_t asked = 0;
  size_t whole = 0;
  size_t refused = 0;
};

void print_summary(const Counts& counts) {
  if (counts.asked == 0) return tell("no questions\n");
  std::string list;
  for (const auto& [verdict, count] : counts.verdicts) list += fmt::format("{}{} {}", list.empty() ? "" : ", ", count, verdict);
  if (counts.refused > 0) list += fmt::format("{}{} without an endpoint", list.empty() ? "" : ", ", counts.refused);
  tell("{} {}: {}. {} complete.\n", counts.asked, counts.asked == 1 ? "question" : "questions", list, counts.whole);
}

}  // namespace

int ask_list(Client& client, const ListOptions& options) {
  std::ifstream in(options.file == "-" ? "/dev/stdin" : options.file);
  if (!in) return report({ErrorCode::kNotFound, fmt::format("cannot read {}", options.file)});
  QuestionList list(options.columns);
  Counts counts;
  size_t number = 0;
  if (options.form == ListForm::kCsv) print_csv({kCsvColumns.begin(), kCsvColumns.end()});
  for (std::string line; std::getline(in, line);) {
    ++number;
    const auto question = list.read(line);
    if (!question) return report(question.error().in(options.file));
    if (!*question) continue;
    ++counts.asked;
    if (options.form != ListForm::kText) show_progress(fmt::format("{} questions", counts.asked));
    Client::Params params = options.params;
    params.emplace_back("q", **question);
    const auto answer = client.get("/api/v1/who", params);
    if (!answer) {
      const bool refused = answer.error().code == ErrorCode::kBadInput || answer.error().code == ErrorCode::kLimit;
      if (!refused) return report(answer.error());
      ++counts.refused;
      print_refused(number, **question, answer.error(), options.form);
      continue;
    }
    simdjson::dom::parser parser;
    const simdjson::padded_string padded(*answer);
    element parsed;
    if (parser.parse(padded).get(parsed) != simdjson::SUCCESS) return report({ErrorCode::kIo, "the book's answer is not JSON"});
    ++counts.verdicts[member(parsed, "verdict")];
    counts.whole += inner(parsed, "completeness", "state") == "complete" ? 1 : 0;
    switch (options.form) {
      case ListForm::kJson: write_json(*answer); break;
      case ListForm::kCsv: print_row(number, **question, parsed); break;
      case ListForm::kText: print_text(**question, parsed); break;
    }
    flush_out();
  }
  show_progress("");
  print_summary(counts);
  return counts.refused > 0 ? exit_code(ErrorCode::kBadInput) : 0;
}

}  // namespace portbook
