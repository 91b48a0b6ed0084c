#include "sources/postgresql.h"

#include <array>

#include "sources/calendar.h"
#include "sources/console_line.h"
#include "sources/postgresql_message.h"

namespace portbook {

namespace {

constexpr std::string_view kRecommended = "portbook/1 ";
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

// "127.0.0.1(55180)"; "[local]" names none.
bool set_remote(std::string_view remote, Record& record) {
  if (remote == "[local]") return true;
  const size_t bracket = remote.find('(');
  if (bracket == std::string_view::npos || !remote.ends_with(')')) return false;
  return set_postgresql_client(remote.substr(0, bracket), remote.substr(bracket + 1, remote.size() - bracket - 2), record);
}

// The server writes it last, so what a client's names hold stands before it.
void set_client_of_message(std::string_view text, Record& record) {
  constexpr std::string_view kHost = "host=";
  constexpr std::string_view kPort = " port=";
  if (!text.starts_with("connection received: ") && !text.starts_with("disconnection: ")) return;
  const size_t host = text.rfind(kHost);
  const size_t port = text.rfind(kPort);
  if (host == std::string_view::npos || port == std::string_view::npos || port < host) return;
  (void)set_postgresql_client(text.substr(host + kHost.size(), port - host - kHost.size()), text.substr(port + kPort.size()),
                              record);
}

// `1795438020.513 [11188] 6b0435c4.2bb4 127.0.0.1(55180) postgres shop my app LOG:  …`; of the server's own processes nothing
// stands between the session and the severity.
bool decode_recommended(LineScan scan, Record& record) {
  std::string_view written;
  PostgresqlMessage said;
  uint64_t pid = 0;
  if (!scan.take(' ', written) || !scan.skip("[") || !scan.take(']', said.pid) || !parse_count(said.pid, pid) || !scan.skip(" ") ||
      !scan.take(' ', said.session))
    return false;
  const auto time = parse_epoch_ms(written);
  const auto message = find_only_message(scan.rest());
  if (!time || !message) return false;
  if (!message->before.empty()) {
    LineScan names(message->before);
    std::string_view remote;
    if (!names.take(' ', remote) || !names.take(' ', said.user) || !names.take_word(said.database) || !set_remote(remote, record))
      return false;
    said.application = names.rest();
  }
  said.time = *time;
  said.severity = message->severity;
  said.text = message->text;
  set_postgresql_message(said, record);
  return true;
}

// What follows a newline in a message: the server puts a tab before it. It names neither time nor session.
bool decode_continuation(std::string_view line, const LineOrigin& origin, Record& record) {
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kVantage, Vantage::kApp);
  record.set(Field::kTime, origin.read);
  record.set(Field::kApp, "postgresql");
  record.set(Field::kMessage, line.substr(1));
  record.set(Field::kCause, kPostgresqlContinues);
  return true;
}

// `%m [%p] %q%u@%d `
bool decode_debian(const ConsoleLine& line, Record& record) {
  const auto message = find_only_message(line.rest);
  if (!message) return false;
  PostgresqlMessage said;
  said.pid = line.pid;
  const size_t at = message->before.rfind('@');
  if (!message->before.empty()) {
    if (at == std::string_view::npos) return false;
    said.user = message->before.substr(0, at);
    said.database = message->before.substr(at + 1);
  }
  set_client_of_message(message->text, record);
  said.time = line.time;
  said.severity = message->severity;
  said.text = message->text;
  set_postgresql_message(said, record);
  return true;
}

}  // namespace

bool decode_postgresql(std::string_view line, const LineOrigin& origin, Record& record) {
  record.clear();
  LineScan scan(line);
  if (scan.skip(kRecommended)) return decode_recommended(scan, record);
  if (line.starts_with('\t')) return decode_continuation(line, origin, record);
  if (is_postgresql_json(line)) return decode_postgresql_json(line, origin, record);
  if (is_postgresql_csv(line)) return decode_postgresql_csv(line, origin, record);
  const auto console = parse_console_line(line, origin);
  return console && decode_debian(*console, record);
}

}  // namespace portbook
