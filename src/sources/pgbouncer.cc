#include "sources/pgbouncer.h"

#include "sources/calendar.h"
#include "sources/console_line.h"
#include "sources/named_values.h"

namespace portbook {

namespace {

// "127.0.0.1:60074", "::1:60074" or "[::1]:60074".
std::optional<Endpoint> parse_pair(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view address = text.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  const auto ip = parse_ip(address);
  uint64_t port = 0;
  if (!ip || !parse_count(text.substr(colon + 1), port) || port == 0 || port > 65'535) return std::nullopt;
  return Endpoint{*ip, static_cast<uint16_t>(port)};
}

// "new connection to server (from 127.0.0.1:55200)"
bool set_server_leg(std::string_view text, const Endpoint& server, Record& record) {
  constexpr std::string_view kFrom = "new connection to server (from ";
  record.set(Field::kDstIp, Field::kDstPort, server);
  if (!text.starts_with(kFrom)) return true;
  if (!text.ends_with(')')) return false;
  const auto own = parse_pair(text.substr(kFrom.size(), text.size() - kFrom.size() - 1));
  if (!own) return false;
  record.set(Field::kSrcIp, Field::kSrcPort, *own);
  return true;
}

}  // namespace

bool decode_pgbouncer(std::string_view line, const LineOrigin& origin, Record& record) {
  record.clear();
  const auto console = parse_console_line(line, origin);
  if (!console) return false;
  LineScan scan(console->rest);
  std::string_view level;
  std::string_view leg;
  std::string_view database;
  std::string_view user;
  std::string_view pair;
  // LOG C-0x55ac5a71a9f0: postgres/alice@127.0.0.1:60074 login attempt: …
  if (!scan.take(' ', level) || !scan.take(':', leg) || !scan.skip(" ") || !scan.take('/', database) || !scan.take('@', user) ||
      !scan.take(' ', pair) || scan.rest().empty() || scan.rest().find('@') != std::string_view::npos)
    return false;
  const bool client = leg.starts_with("C-0x");
  const auto endpoint = parse_pair(pair);
  if (!endpoint || (!client && !leg.starts_with("S-0x"))) return false;
  if (client) {
    record.set(Field::kSrcIp, Field::kSrcPort, *endpoint);
  } else if (!set_server_leg(scan.rest(), *endpoint, record)) {
    return false;
  }
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kVantage, Vantage::kApp);
  record.set(Field::kTime, console->time);
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kApp, "pgbouncer");
  record.set(Field::kMessage, scan.rest());
  NamedValues values;
  values.add("leg", leg);
  values.add("user", user == "(nouser)" ? "" : user);
  values.add("level", level);
  values.add("database", database == "(nodb)" ? "" : database);
  values.set_on(record);
  return true;
}

}  // namespace portbook
