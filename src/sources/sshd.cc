#include "sources/sshd.h"

#include <array>

#include "sources/named_values.h"

namespace portbook {

namespace {

constexpr std::string_view kPort = " port ";

// How lines begin that have exactly one endpoint.
constexpr auto kOpenings =
    std::to_array<std::string_view>({"Accepted ", "Failed ", "Postponed ", "Invalid user ", "Disconnected from ",
                                     "Received disconnect from ", "Connection closed by ", "Connection reset by ", "Disconnecting ",
                                     "Starting session: ", "Close session: ", "User child is on pid "});

// "203.0.113.5 port 41234" around the " port " at `at`, and where it begins and ends.
struct FoundEndpoint {
  Endpoint endpoint;
  size_t begin = 0;
  size_t end = 0;
};
std::optional<FoundEndpoint> endpoint_at(std::string_view text, size_t at) {
  FoundEndpoint found;
  const size_t blank = text.rfind(' ', at - 1);
  found.begin = at == 0 || blank == std::string_view::npos ? 0 : blank + 1;
  const size_t digits = at + kPort.size();
  found.end = std::min(text.find_first_not_of("0123456789", digits), text.size());
  const auto ip = parse_ip(text.substr(found.begin, at - found.begin));
  uint64_t port = 0;
  if (!ip || !parse_count(text.substr(digits, found.end - digits), port) || port == 0 || port > 65'535) return std::nullopt;
  found.endpoint = {*ip, static_cast<uint16_t>(port)};
  return found;
}

// "Connection from A port P on B port Q rdomain """
bool set_both_ends(std::string_view text, Record& record) {
  const size_t first = text.find(kPort);
  const size_t second = first == std::string_view::npos ? first : text.find(kPort, first + kPort.size());
  if (second == std::string_view::npos || text.find(kPort, second + kPort.size()) != std::string_view::npos) return false;
  const auto client = endpoint_at(text, first);
  const auto server = endpoint_at(text, second);
  if (!client || !server || text.substr(client->end, server->begin - client->end) != " on ") return false;
  record.set(Field::kSrcIp, Field::kSrcPort, client->endpoint);
  record.set(Field::kDstIp, Field::kDstPort, server->endpoint);
  return true;
}

// The process that wrote the line, and of "Accepted publickey for alice from A port P ssh2: ED25519 SHA256:…" the login.
void set_values(const SyslogHeader& line, Record& record) {
  uint64_t pid = 0;
  const std::string_view digits = parse_count(line.pid, pid) ? line.pid : std::string_view();
  NamedValues values;
  LineScan scan(line.message);
  std::string_view method;
  std::string_view user;
  if (!scan.skip("Accepted ") || !scan.take(' ', method) || !scan.skip("for ") || !scan.take(' ', user) || !scan.skip("from ")) {
    values.add("pid", digits);
    values.set_on(record);
    return;
  }
  record.set(Field::kPrincipal, user);
  record.set(Field::kOutcome, Outcome::kOk);
  const std::string_view behind = scan.rest();
  const size_t key = behind.find(": ");
  values.add("key", key == std::string_view::npos ? "" : behind.substr(key + 2));
  values.add("pid", digits);
  values.add("user", user);
  values.add("method", method);
  values.set_on(record);
}

bool set_one_end(std::string_view text, Record& record) {
  bool known = false;
  for (const std::string_view opening : kOpenings) known = known || text.starts_with(opening);
  const size_t at = text.find(kPort);
  if (!known || at == std::string_view::npos || text.find(kPort, at + 1) != std::string_view::npos) return false;
  const auto client = endpoint_at(text, at);
  if (!client) return false;
  record.set(Field::kSrcIp, Field::kSrcPort, client->endpoint);
  if (text.starts_with("Failed ") || text.starts_with("Invalid user ")) record.set(Field::kOutcome, Outcome::kDenied);
  return true;
}

}  // namespace

bool decode_sshd(const SyslogHeader& line, Record& record) {
  record.clear();
  if (!line.time || (line.app != "sshd" && line.app != "sshd-session" && line.app != "sshd-auth")) return false;
  constexpr std::string_view kBegins = "Connection from ";
  const bool understood =
      line.message.starts_with(kBegins) ? set_both_ends(line.message, record) : set_one_end(line.message, record);
  if (!understood) return false;
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kVantage, Vantage::kApp);
  record.set(Field::kTime, *line.time);
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kApp, "sshd");
  record.set(Field::kMessage, line.message);
  set_values(line, record);
  return true;
}

}  // namespace portbook
