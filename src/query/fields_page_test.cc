// docs/query.md names every field with what may be asked of it, as the field table and the parser have it;
// tests/query/operators.test has a case of each.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>

#include "query/value.h"

namespace portbook {
namespace {

constexpr TimeNs kNow = 1'795'356'000'000'000'000;  // 2026-11-22T14:00:00Z

struct Kind {
  ValueKind kind;
  std::string name;    // as the page has it
  std::string sample;  // a value
  std::string other;   // a greater one
  bool ordered;        // has > >= < <=
  bool ranges;
  std::string own;  // the operator that it alone has: "network" or "text"; empty: none
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kAll = {
      {ValueKind::kNumber, "number", "5", "6", true, true, ""},
      {ValueKind::kSigned, "signed number", "-5", "6", true, true, ""},
      {ValueKind::kTime, "time", "2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z", true, true, ""},
      {ValueKind::kDuration, "duration", "5ms", "6ms", true, true, ""},
      {ValueKind::kPort, "port", "443", "444", true, true, ""},
      {ValueKind::kEnum, "one of its names", "", "", false, false, ""},
      {ValueKind::kIp, "address", "10.0.0.1", "10.0.0.2", false, true, "network"},
      {ValueKind::kText, "text", "abc", "abd", false, false, "text"},
      {ValueKind::kId128, "id", "00000000000000010000000000000001", "00000000000000010000000000000002", false, false, ""},
  };
  return kAll;
}

const Kind& kind_of(Field field) {
  Test test;
  test.subject = Subject::kField;
  test.field = field;
  return *std::ranges::find(kinds(), value_kind(test), &Kind::kind);
}

// What may be written behind the field's name, by the operator's name.
std::map<std::string, std::string> operators_of(const Kind& kind, std::string sample, const std::string& other) {
  std::map<std::string, std::string> out = {
      {"value", ":" + sample}, {"alternatives", fmt::format(":({} or {})", sample, other)}, {"there", ":*"}};
  if (kind.ordered) {
    for (const std::string sign : {">", ">=", "<", "<="}) out[sign] = ":" + sign + sample;
  }
  if (kind.ranges) out["range"] = fmt::format(":{}..{}", sample, other);
  if (kind.own == "network") out["network"] = ":10.0.0.0/8";
  if (kind.own == "text") {
    out["pattern"] = ":*b?";
    out["quoted"] = ":\"a*\"";
    out["regex"] = "~\"a.c\"";
  }
  return out;
}

std::map<std::string, std::string> operators_of(Field field) {
  const Kind& kind = kind_of(field);
  if (kind.kind != ValueKind::kEnum) return operators_of(kind, kind.sample, kind.other);
  const auto names = enum_names(field);
  return operators_of(kind, std::string(names.front().name), std::string(names.back().name));
}

// As the page has it: "`:v` `:(v or v)` `:*`".
std::string shown_operators(const Kind& kind) {
  std::string out = "`:v` `:(v or v)` `:*`";
  if (kind.ordered) out += " `:>v` `:>=v` `:<v` `:<=v`";
  if (kind.ranges) out += " `:v..v`";
  if (kind.own == "network") out += " `:v/BITS`";
  if (kind.own == "text") out += " `:pattern*` `:\"quoted\"` `~\"regex\"`";
  return out;
}

std::string content_of(const std::string& path) {
  std::ifstream file(PORTBOOK_SOURCE_DIR + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(FieldsPage, NamesEveryFieldWithWhatMayBeAskedOfIt) {
  const std::string page = content_of("/docs/query.md");
  for (const Kind& kind : kinds()) {
    std::vector<std::string> names;
    for (const FieldInfo& field : kFields) {
      if (&kind_of(field.field) == &kind) names.push_back(fmt::format("`{}`", field.name));
    }
    const std::string line = fmt::format("| {} | {} | {} |\n", kind.name, shown_operators(kind), fmt::join(names, " "));
    EXPECT_TRUE(page.contains(line)) << "docs/query.md lacks the line\n" << line;
  }
}

TEST(FieldsPage, TheParserTakesWhatItNamesAndNothingElse) {
  for (const FieldInfo& field : kFields) {
    const auto taken = operators_of(field.field);
    for (const auto& [name, written] : taken) {
      const std::string filter = std::string(field.name) + written;
      EXPECT_TRUE(parse_filter(filter, kNow).has_value()) << filter;
    }
    const Kind& kind = kind_of(field.field);
    if (kind.own == "text") {
      EXPECT_FALSE(parse_filter(fmt::format("{}:>abc", field.name), kNow).has_value()) << field.name;
      continue;  // a range or a network stands for itself there
    }
    for (const std::string foreign : {"~\"a.c\"", ":nonsense", ":v*"})
      EXPECT_FALSE(parse_filter(std::string(field.name) + foreign, kNow).has_value()) << field.name << foreign;
    for (const std::string sign : {">", ">=", "<", "<="})
      EXPECT_EQ(parse_filter(std::string(field.name) + ":" + sign + taken.at("value").substr(1), kNow).has_value(), kind.ordered)
          << field.name << sign;
  }
}

// The operator of a case "search FIELD…" of one test.
std::string operator_of(const std::string& rest) {
  if (rest.starts_with("~")) return "regex";
  const std::string value = rest.substr(1);
  if (value.starts_with("(")) return "alternatives";
  if (value == "*") return "there";
  if (value.starts_with("\"")) return "quoted";
  for (const std::string sign : {">=", ">", "<=", "<"}) {
    if (value.starts_with(sign)) return sign;
  }
  if (value.contains("..")) return "range";
  if (value.contains("*") || value.contains("?")) return "pattern";
  return value.contains("/") ? "network" : "value";
}

TEST(FieldsPage, EachOperatorOfEachTypeHasACase) {
  std::set<std::pair<ValueKind, std::string>> cases;
  const std::string text = content_of("/tests/query/operators.test");
  static const std::regex kCase("search ([a-z._]+)([:~][^\n]*?)(?: records:all)?\n->");
  for (auto it = std::sregex_iterator(text.begin(), text.end(), kCase); it != std::sregex_iterator(); ++it) {
    const auto field = std::ranges::find(kFields, (*it)[1].str(), &FieldInfo::name);
    if (field != std::end(kFields)) cases.emplace(kind_of(field->field).kind, operator_of((*it)[2].str()));
  }
  for (const FieldInfo& field : kFields) {
    const Kind& kind = kind_of(field.field);
    for (const auto& [name, written] : operators_of(field.field))
      EXPECT_TRUE(cases.contains({kind.kind, name}))
          << kind.name << " has no case of " << name << " (as in " << field.name << written << ")";
  }
}

}  // namespace
}  // namespace portbook
