#include "sources/nginx.h"

#include <fmt/format.h>

#include "sources/calendar.h"
#include "sources/named_values.h"

namespace portbook {

namespace {

constexpr std::string_view kRecommended = "portbook/1 ";
constexpr uint64_t kClockHoursMax = 14;

bool set_endpoint(std::string_view address, std::string_view port_text, Field ip_field, Field port_field, Record& record) {
  const auto ip = parse_ip(address);
  uint64_t port = 0;
  if (!ip || !parse_count(port_text, port) || port > 65'535) return false;
  record.set(ip_field, port_field, {*ip, static_cast<uint16_t>(port)});
  return true;
}

bool set_count(std::string_view text, Field field, Record& record) {
  uint64_t value = 0;
  if (!parse_count(text, value)) return false;
  record.set(field, value);
  return true;
}

// The server that was tried last: "10.8.3.17:80, 10.8.3.18:80 : [2001:db8::1]:80". What stands there for one on a unix socket, or,
// where none was reached, the name of the group, says no endpoint. False if nothing stands there.
bool set_server(std::string_view tried, Record& record) {
  if (tried.empty()) return false;
  const size_t blank = tried.rfind(' ');
  const auto server = parse_endpoint_pattern(blank == std::string_view::npos ? tried : tried.substr(blank + 1));
  if (server && server->is_address() && server->port)
    record.set(Field::kUpDstIp, Field::kUpDstPort, {server->network.base, *server->port});
  return true;
}

// `end` and how long before it began, both in seconds with three digits behind the point.
bool set_times(std::string_view end_text, std::string_view took_text, Record& record) {
  const auto end = parse_epoch_ms(end_text);
  const auto took = parse_epoch_ms(took_text);
  if (!end || !took || *took > *end) return false;
  record.set(Field::kTime, *end);
  record.set(Field::kStart, *end - *took);
  record.set(Field::kEnd, *end);
  return true;
}

void set_kind(Kind kind, Record& record) {
  record.set(Field::kKind, kind);
  record.set(Field::kVantage, kind == Kind::kProxy ? Vantage::kProxy : Vantage::kApp);
  record.set(Field::kApp, "nginx");
}

void set_message(std::string_view status, Record& record) {
  record.set(Field::kMessage, fmt::format("answered with status {}", status));
}

// What the stream module's status says of the session; a request's says nothing of its connection.
void set_outcome(std::string_view status, Record& record) {
  if (status == "200") record.set(Field::kOutcome, Outcome::kOk);
  if (status == "403") record.set(Field::kOutcome, Outcome::kDenied);
}

bool decode_recommended(LineScan scan, Record& record) {
  std::string_view what;
  std::string_view end;
  std::string_view took;
  std::string_view client;
  std::string_view client_port;
  std::string_view front;
  std::string_view front_port;
  std::string_view status;
  std::string_view sent;
  std::string_view got;
  std::string_view serial;
  for (std::string_view* word : {&what, &end, &took, &client, &client_port, &front, &front_port, &status, &sent, &got, &serial}) {
    if (!scan.take(' ', *word)) return false;
  }
  const bool http = what == "http";
  if ((!http && what != "TCP" && what != "UDP") || status.size() != 3 || !set_times(end, took, record) ||
      !set_endpoint(client, client_port, Field::kSrcIp, Field::kSrcPort, record) ||
      !set_endpoint(front, front_port, Field::kDstIp, Field::kDstPort, record) || !set_count(sent, Field::kBytesOut, record) ||
      !set_count(got, Field::kBytesIn, record) || !set_server(scan.rest(), record))
    return false;
  const bool taken_on = scan.rest() != "-";
  set_kind(taken_on ? Kind::kProxy : Kind::kNote, record);
  record.set(Field::kProto, what == "UDP" ? Proto::kUdp : Proto::kTcp);
  if (taken_on) {
    record.set(Field::kDirection, Direction::kForward);
  } else {
    set_message(status, record);
  }
  if (!http) set_outcome(status, record);
  NamedValues values;
  if (!record.has(Field::kUpDstIp) || scan.rest().contains(' ')) values.add("tried", scan.rest());
  values.add("module", http ? "http" : "stream");
  values.add("status", status);
  values.add("connection", serial);
  values.set_on(record);
  return true;
}

// "+0100" east of UTC, in minutes.
std::optional<int32_t> parse_offset(std::string_view text) {
  uint64_t hours = 0;
  uint64_t minutes = 0;
  if (text.size() != 5 || (text[0] != '+' && text[0] != '-') || !parse_count(text.substr(1, 2), hours) ||
      !parse_count(text.substr(3), minutes) || hours > kClockHoursMax || minutes > 59)
    return std::nullopt;
  const auto east = static_cast<int32_t>(hours * 60 + minutes);
  return text[0] == '-' ? -east : east;
}

// `203.0.113.5 - USER [23/Nov/2026:12:31:46 +0100] "REQUEST" 200 6 "REFERER" "AGENT"`. A user's name may hold anything but a quote,
// which nginx writes as \x22: so the first quote is the request's, and the date is what stands right before it.
bool decode_combined(std::string_view line, const LineOrigin& origin, Record& record) {
  constexpr size_t kDateBytes = 26;
  const size_t quote = line.find('"');
  if (quote == std::string_view::npos || quote < kDateBytes + 4 || !line.substr(0, quote).ends_with("] ")) return false;
  const std::string_view date = line.substr(quote - 2 - kDateBytes, kDateBytes);
  const std::string_view before = line.substr(0, quote - 2 - kDateBytes);
  LineScan scan(before);
  std::string_view client;
  if (!before.ends_with(" [") || !scan.take(' ', client) || !scan.skip("- ")) return false;
  const auto offset = parse_offset(date.substr(date.size() - 5));
  const auto ip = parse_ip(client);
  if (!offset || !ip || date[date.size() - 6] != ' ') return false;
  const auto time = parse_clf_time(date.substr(0, date.size() - 6), {origin.read, {.minutes_east = *offset}});
  if (!time) return false;
  LineScan rest(line.substr(quote + 1));
  std::string_view skipped;
  std::string_view status;
  if (!(rest.skip("\"") || rest.take('"', skipped)) || !rest.skip(" ") || !rest.take(' ', status) || status.size() != 3 ||
      !rest.take(' ', skipped) || !set_count(skipped, Field::kBytesIn, record))
    return false;
  for (const std::string_view between : {" ", ""}) {
    if (!rest.skip("\"") || !(rest.skip("\"") || rest.take('"', skipped)) || !rest.skip(between)) return false;
  }
  if (!rest.rest().empty()) return false;
  set_kind(Kind::kNote, record);
  record.set(Field::kTime, *time);
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kSrcIp, *ip);
  set_message(status, record);
  NamedValues values;
  values.add("module", "http");
  values.add("status", status);
  values.set_on(record);
  return true;
}

}  // namespace

bool decode_nginx(std::string_view line, const LineOrigin& origin, Record& record) {
  record.clear();
  LineScan scan(line);
  return scan.skip(kRecommended) ? decode_recommended(scan, record) : decode_combined(line, origin, record);
}

}  // namespace portbook
