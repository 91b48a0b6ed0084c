#include "sources/haproxy.h"

#include "sources/calendar.h"
#include "sources/named_values.h"

namespace portbook {

namespace {

constexpr std::string_view kRecommended = "portbook/1 ";
constexpr uint64_t kMillisecondsMax = uint64_t{1} << 43;  // some 280 years: sums of two stay within a time

// "203.0.113.5:41234", "2001:db8::1:41234" (HAProxy writes no brackets), "-:-", "unix:1". False when it is no such pair.
bool set_endpoint(std::string_view text, Field ip_field, Field port_field, Record& record) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view address = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (address == "-" || address == "unix") return true;
  const auto ip = parse_ip(address);
  uint64_t port = 0;
  if (!ip || (port_text != "-" && !parse_count(port_text, port)) || port > 65'535) return false;
  if (ip->is_unspecified()) return true;
  record.set(ip_field, port_field, {*ip, static_cast<uint16_t>(port)});
  return true;
}

// The session's state at its end, as the manual's section 8.5 has it: who ended it, then in which phase.
void set_outcome(std::string_view state, Record& record) {
  if (state.size() < 2) return;
  const char who = state[0];
  const char phase = state[1];
  if (who == '-' && phase == '-') record.set(Field::kOutcome, Outcome::kOk);
  if (who == 'S' && phase == 'C') record.set(Field::kOutcome, Outcome::kRefused);
  if (who == 's' || who == 'c') record.set(Field::kOutcome, Outcome::kTimeout);
  if (who == 'P') record.set(Field::kOutcome, Outcome::kDenied);
  if ((who == 'C' || who == 'S') && phase == 'D') record.set(Field::kOutcome, Outcome::kReset);
}

// Accepted at `start`, ended so many ms later if that is known.
bool set_times(TimeNs start, std::string_view total_ms, Record& record) {
  if (total_ms.starts_with('+')) total_ms.remove_prefix(1);  // logged before the end, with `option logasap`
  uint64_t ms = 0;
  bool known = false;
  if (!parse_measure(total_ms, ms, known) || ms > kMillisecondsMax) return false;
  record.set(Field::kStart, start);
  if (known) record.set(Field::kEnd, start + ms * kNsPerMs);
  record.set(Field::kTime, known ? start + ms * kNsPerMs : start);
  return true;
}

bool set_count(std::string_view text, Field field, Record& record) {
  if (text.starts_with('+')) text.remove_prefix(1);
  uint64_t value = 0;
  if (text == "-") return true;
  if (!parse_count(text, value)) return false;
  record.set(field, value);
  return true;
}

void set_common(Record& record) {
  record.set(Field::kKind, Kind::kProxy);
  record.set(Field::kVantage, Vantage::kProxy);
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kDirection, Direction::kForward);
  record.set(Field::kApp, "haproxy");
}

bool decode_recommended(LineScan scan, Record& record) {
  std::string_view start;
  std::string_view total;
  std::string_view client;
  std::string_view front;
  std::string_view back;
  std::string_view server;
  std::string_view frontend_name;
  std::string_view backend_name;
  std::string_view server_name;
  std::string_view state;
  std::string_view sent;
  std::string_view got;
  for (std::string_view* word :
       {&start, &total, &client, &front, &back, &server, &frontend_name, &backend_name, &server_name, &state, &sent, &got}) {
    if (!scan.take_word(*word)) return false;
  }
  const auto began = parse_epoch_ms(start);
  if (!scan.rest().empty() || !began || !set_times(*began, total, record)) return false;
  set_common(record);
  if (!set_endpoint(client, Field::kSrcIp, Field::kSrcPort, record) ||
      !set_endpoint(front, Field::kDstIp, Field::kDstPort, record) ||
      !set_endpoint(back, Field::kUpSrcIp, Field::kUpSrcPort, record) ||
      !set_endpoint(server, Field::kUpDstIp, Field::kUpDstPort, record) || !set_count(sent, Field::kBytesOut, record) ||
      !set_count(got, Field::kBytesIn, record))
    return false;
  set_outcome(state, record);
  NamedValues values;
  values.add("state", state);
  values.add("server", server_name);
  values.add("backend", backend_name);
  values.add("frontend", frontend_name);
  values.set_on(record);
  return true;
}

// What tcplog and httplog have in common: `CLIENT [DATE] FRONTEND BACKEND/SERVER TIMES `. The times' last one is the total.
struct LineFront {
  std::string_view frontend;
  std::string_view backend;
  std::string_view server;
  size_t times = 0;
};

bool take_front(LineScan& scan, const LineOrigin& origin, Record& record, LineFront& front) {
  std::string_view client;
  std::string_view date;
  std::string_view times;
  if (!scan.take(' ', client) || !scan.skip("[") || !scan.take(']', date) || !scan.skip(" ") || !scan.take(' ', front.frontend) ||
      !scan.take('/', front.backend) || !scan.take(' ', front.server) || !scan.take(' ', times))
    return false;
  const auto start = parse_clf_time(date, origin);
  if (!start || !set_endpoint(client, Field::kSrcIp, Field::kSrcPort, record)) return false;
  std::string_view total = times;
  for (front.times = 1; total.find('/') != std::string_view::npos; ++front.times) {
    uint64_t ms = 0;
    bool known = false;
    const size_t slash = total.find('/');
    if (!parse_measure(total.substr(0, slash), ms, known)) return false;
    total.remove_prefix(slash + 1);
  }
  return set_times(*start, total, record);
}

// `ac/fc/bc/sc/rc`, with a plus before the retries where another server was tried; then `queues`.
bool take_counters(LineScan& scan) {
  std::string_view counters;
  std::string_view queues;
  if (!scan.take_word(counters) || !scan.take_word(queues)) return false;
  const auto is_list = [](std::string_view text, size_t slashes) {
    for (const char c : text) {
      if (c == '/') {
        if (slashes-- == 0) return false;
      } else if (c != '+' && (c < '0' || c > '9')) {
        return false;
      }
    }
    return slashes == 0 && !text.empty();
  };
  return is_list(counters, 4) && is_list(queues, 1);
}

// The request in quotes, after headers that were captured.
bool ends_with_request(std::string_view rest) {
  return rest.ends_with('"') && rest.find('"') != rest.size() - 1;
}

bool decode_standard(LineScan scan, const LineOrigin& origin, Record& record) {
  LineFront front;
  set_common(record);
  if (!take_front(scan, origin, record, front)) return false;
  const bool http = front.times == 5;
  if (!http && front.times != 3) return false;
  std::string_view status;
  std::string_view got;
  std::string_view cookie;
  std::string_view state;
  if (http && !scan.take(' ', status)) return false;
  if (!scan.take(' ', got) || !set_count(got, Field::kBytesIn, record)) return false;
  if (http && (!scan.take(' ', cookie) || !scan.take(' ', cookie))) return false;
  if (!scan.take(' ', state) || state.size() != (http ? 4 : 2) || !take_counters(scan)) return false;
  if (http ? !ends_with_request(scan.rest()) : !scan.rest().empty()) return false;
  set_outcome(state, record);
  NamedValues values;
  values.add("state", state);
  values.add("server", front.server.starts_with('<') ? "" : front.server);
  values.add("status", status == "-1" ? "" : status);
  values.add("backend", front.backend);
  values.add("frontend", front.frontend.ends_with('~') ? front.frontend.substr(0, front.frontend.size() - 1) : front.frontend);
  values.set_on(record);
  return true;
}

}  // namespace

bool decode_haproxy(std::string_view line, const LineOrigin& origin, Record& record) {
  record.clear();
  LineScan scan(line);
  const bool understood = scan.skip(kRecommended) ? decode_recommended(scan, record) : decode_standard(scan, origin, record);
  return understood && record.has(Field::kSrcIp);
}

}  // namespace portbook
