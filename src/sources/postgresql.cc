#include "sources/postgresql.h"

#include <array>

#include "sources/calendar.h"
#include "sources/console_line.h"
#include "sources/named_values.h"

namespace portbook {

namespace {

constexpr std::string_view kRecommended = "portbook/1 ";
constexpr std::string_view kAuthorized = "connection authorized: ";
constexpr auto kSeverities = std::to_array<std::string_view>({"LOG", "ERROR", "FATAL", "STATEMENT", "DETAIL", "WARNING", "HINT",
                                                              "NOTICE", "INFO", "CONTEXT", "PANIC", "QUERY", "LOCATION", "DEBUG"});

// `LOG:  ` between the prefix and the message, at the first place where it is a word.
struct Message {
  std::string_view before;  // what the prefix adds, without the blank behind it
  std::string_view severity;
  std::string_view text;
};
std::optional<Message> find_message(std::string_view rest) {
  constexpr std::string_view kEnd = ":  ";
  for (size_t at = rest.find(kEnd); at != std::string_view::npos; at = rest.find(kEnd, at + 1)) {
    const size_t blank = rest.substr(0, at).rfind(' ');
    const size_t begin = blank == std::string_view::npos ? 0 : blank + 1;
    const std::string_view word = rest.substr(begin, at - begin);
    for (const std::string_view severity : kSeverities) {
      if (word == severity) return Message{rest.substr(0, begin == 0 ? 0 : begin - 1), severity, rest.substr(at + kEnd.size())};
    }
  }
  return std::nullopt;
}

// As above; nothing where there is a second one. A client that is not let in chooses the names in the prefix: they could hold a
// whole message.
std::optional<Message> find_only_message(std::string_view rest) {
  auto message = find_message(rest);
  if (message && find_message(message->text)) return std::nullopt;
  return message;
}

bool set_client(std::string_view address, std::string_view port_text, Record& record) {
  const auto ip = parse_ip(address);
  uint64_t port = 0;
  if (!ip || !parse_count(port_text, port) || port == 0 || port > 65'535) return false;
  record.set(Field::kSrcIp, Field::kSrcPort, {*ip, static_cast<uint16_t>(port)});
  record.set(Field::kProto, Proto::kTcp);
  return true;
}

// "127.0.0.1(55180)"; "[local]" names none.
bool set_remote(std::string_view remote, Record& record) {
  if (remote == "[local]") return true;
  const size_t bracket = remote.find('(');
  if (bracket == std::string_view::npos || !remote.ends_with(')')) return false;
  return set_client(remote.substr(0, bracket), remote.substr(bracket + 1, remote.size() - bracket - 2), record);
}

// The server writes it last, so what a client's names hold stands before it.
void set_client_of_message(std::string_view text, Record& record) {
  constexpr std::string_view kHost = "host=";
  constexpr std::string_view kPort = " port=";
  if (!text.starts_with("connection received: ") && !text.starts_with("disconnection: ")) return;
  const size_t host = text.rfind(kHost);
  const size_t port = text.rfind(kPort);
  if (host == std::string_view::npos || port == std::string_view::npos || port < host) return;
  (void)set_client(text.substr(host + kHost.size(), port - host - kHost.size()), text.substr(port + kPort.size()), record);
}

struct Session {
  std::string_view pid;
  std::string_view user;
  std::string_view database;
  std::string_view application;
};

void set_rest(const Session& session, const Message& message, TimeNs time, Record& record) {
  const auto known = [](std::string_view name) { return name == "[unknown]" ? std::string_view() : name; };
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kVantage, Vantage::kApp);
  record.set(Field::kTime, time);
  record.set(Field::kApp, "postgresql");
  record.set(Field::kMessage, message.text);
  if (message.text.starts_with(kAuthorized) && message.severity == "LOG" && !known(session.user).empty())
    record.set(Field::kPrincipal, known(session.user));
  NamedValues values;
  values.add("pid", session.pid);
  values.add("user", known(session.user));
  values.add("database", known(session.database));
  values.add("severity", message.severity);
  values.add("application", known(session.application));
  values.set_on(record);
}

// `1795438020.513 [11188] 6b0435c4.2bb4 127.0.0.1(55180) postgres shop my app LOG:  …`; of the server's own processes nothing
// stands between the session and the severity.
bool decode_recommended(LineScan scan, Record& record) {
  std::string_view written;
  std::string_view id;
  Session session;
  uint64_t pid = 0;
  if (!scan.take(' ', written) || !scan.skip("[") || !scan.take(']', session.pid) || !parse_count(session.pid, pid) ||
      !scan.skip(" ") || !scan.take(' ', id))
    return false;
  const auto time = parse_epoch_ms(written);
  const auto message = find_only_message(scan.rest());
  if (!time || !message) return false;
  record.set(Field::kSession, id);
  if (!message->before.empty()) {
    LineScan names(message->before);
    std::string_view remote;
    if (!names.take(' ', remote) || !names.take(' ', session.user) || !names.take_word(session.database) ||
        !set_remote(remote, record))
      return false;
    session.application = names.rest();
  }
  set_rest(session, *message, *time, record);
  return true;
}

// `%m [%p] %q%u@%d `
bool decode_debian(const ConsoleLine& line, Record& record) {
  const auto message = find_only_message(line.rest);
  if (!message) return false;
  Session session;
  session.pid = line.pid;
  const size_t at = message->before.rfind('@');
  if (!message->before.empty()) {
    if (at == std::string_view::npos) return false;
    session.user = message->before.substr(0, at);
    session.database = message->before.substr(at + 1);
  }
  set_client_of_message(message->text, record);
  set_rest(session, *message, line.time, record);
  return true;
}

}  // namespace

bool decode_postgresql(std::string_view line, const LineOrigin& origin, Record& record) {
  record.clear();
  LineScan scan(line);
  if (scan.skip(kRecommended)) return decode_recommended(scan, record);
  const auto console = parse_console_line(line, origin);
  return console && decode_debian(*console, record);
}

}  // namespace portbook
