#include "sources/postgresql_message.h"

#include <simdjson.h>

#include <array>
#include <string>

#include "sources/calendar.h"
#include "sources/named_values.h"

namespace portbook {

namespace {

constexpr std::string_view kAuthorized = "connection authorized: ";
constexpr std::string_view kJsonBegins = R"({"timestamp":")";
constexpr size_t kColumnsMin = 23;  // of PostgreSQL 9.0 to 12; later ones have more behind these

enum Column : size_t {
  kTime = 0,
  kUser = 1,
  kDatabase = 2,
  kPid = 3,
  kFrom = 4,
  kSession = 5,
  kSeverity = 11,
  kText = 13,
  kDetail = 14,
  kStatement = 19,
  kApplication = 22
};
using Columns = std::array<std::string_view, kColumnsMin>;

// Takes one value apart from `rest`, with the comma behind it; `unquoted` gets those in which quotes are doubled and has room for
// the whole line. False where a quote has no end, as in the first line of a message of several.
bool take_column(std::string_view& rest, std::string& unquoted, std::string_view& value) {
  if (!rest.starts_with('"')) {
    value = rest.substr(0, rest.find(','));
    if (value.contains('"')) return false;
    rest.remove_prefix(std::min(rest.size(), value.size() + 1));
    return true;
  }
  const size_t begin = unquoted.size();
  size_t at = 1;
  while (true) {
    const size_t quote = rest.find('"', at);
    if (quote == std::string_view::npos) return false;
    unquoted.append(rest, at, quote - at);
    at = quote + 1;
    if (at == rest.size() || rest[at] != '"') break;
    unquoted.push_back('"');
    ++at;
  }
  if (at < rest.size() && rest[at] != ',') return false;
  value = std::string_view(unquoted).substr(begin);
  rest.remove_prefix(std::min(rest.size(), at + 1));
  return true;
}

bool take_columns(std::string_view line, std::string& unquoted, Columns& columns) {
  for (std::string_view& column : columns) {
    if (line.empty() || !take_column(line, unquoted, column)) return false;
  }
  return true;
}

std::string_view text_of(simdjson::dom::object object, std::string_view name) {
  std::string_view text;
  return object[name].get(text) == simdjson::SUCCESS ? text : std::string_view();
}

}  // namespace

void set_postgresql_message(const PostgresqlMessage& said, Record& record) {
  const auto known = [](std::string_view name) { return name == "[unknown]" ? std::string_view() : name; };
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kVantage, Vantage::kApp);
  record.set(Field::kTime, said.time);
  record.set(Field::kApp, "postgresql");
  record.set(Field::kMessage, said.text);
  if (!said.session.empty()) record.set(Field::kSession, said.session);
  if (said.text.starts_with(kAuthorized) && said.severity == "LOG" && !known(said.user).empty())
    record.set(Field::kPrincipal, known(said.user));
  NamedValues values;
  values.add("pid", said.pid);
  values.add("user", known(said.user));
  values.add("detail", said.detail);
  values.add("database", known(said.database));
  values.add("severity", said.severity);
  values.add("statement", said.statement);
  values.add("application", known(said.application));
  values.set_on(record);
}

bool set_postgresql_client(std::string_view address, std::string_view port_text, Record& record) {
  const auto ip = parse_ip(address);
  uint64_t port = 0;
  if (!ip || !parse_count(port_text, port) || port == 0 || port > 65'535) return false;
  record.set(Field::kSrcIp, Field::kSrcPort, {*ip, static_cast<uint16_t>(port)});
  record.set(Field::kProto, Proto::kTcp);
  return true;
}

bool is_postgresql_json(std::string_view line) {
  return line.starts_with(kJsonBegins);
}

bool is_postgresql_csv(std::string_view line) {
  const size_t at = line.find_first_of(",[");
  return at != std::string_view::npos && line[at] == ',';
}

bool decode_postgresql_json(std::string_view line, const LineOrigin& origin, Record& record) {
  thread_local simdjson::dom::parser parser;  // keeps its memory from line to line
  simdjson::dom::object object;
  if (parser.parse(line.data(), line.size()).get(object) != simdjson::SUCCESS) return false;
  const auto time = parse_console_time(text_of(object, "timestamp"), origin);
  PostgresqlMessage said;
  said.severity = text_of(object, "error_severity");
  uint64_t pid = 0;
  if (!time || said.severity.empty() || object["pid"].get(pid) != simdjson::SUCCESS) return false;
  const std::string digits = std::to_string(pid);
  said.time = *time;
  said.pid = digits;
  said.session = text_of(object, "session_id");
  said.user = text_of(object, "user");
  said.database = text_of(object, "dbname");
  said.application = text_of(object, "application_name");
  said.text = text_of(object, "message");
  said.detail = text_of(object, "detail");
  said.statement = text_of(object, "statement");
  uint64_t port = 0;
  if (object["remote_port"].get(port) == simdjson::SUCCESS)
    (void)set_postgresql_client(text_of(object, "remote_host"), std::to_string(port), record);
  set_postgresql_message(said, record);
  return true;
}

bool decode_postgresql_csv(std::string_view line, const LineOrigin& origin, Record& record) {
  thread_local std::string unquoted;  // keeps its memory from line to line
  unquoted.clear();
  unquoted.reserve(line.size());
  Columns columns;
  if (!take_columns(line, unquoted, columns)) return false;
  const auto time = parse_console_time(columns[kTime], origin);
  uint64_t pid = 0;
  if (!time || !parse_count(columns[kPid], pid) || columns[kSeverity].empty()) return false;
  PostgresqlMessage said;
  said.time = *time;
  said.session = columns[kSession];
  said.pid = columns[kPid];
  said.user = columns[kUser];
  said.database = columns[kDatabase];
  said.application = columns[kApplication];
  said.severity = columns[kSeverity];
  said.text = columns[kText];
  said.detail = columns[kDetail];
  said.statement = columns[kStatement];
  const std::string_view from = columns[kFrom];
  const size_t colon = from.rfind(':');  // an IPv6 address has no brackets
  if (colon != std::string_view::npos) (void)set_postgresql_client(from.substr(0, colon), from.substr(colon + 1), record);
  set_postgresql_message(said, record);
  return true;
}

}  // namespace portbook
