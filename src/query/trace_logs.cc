#include "query/trace_logs.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "query/evaluate.h"
#include "record/cbor_item.h"

namespace portbook {

namespace {

constexpr uint64_t kNearNs = 10 * kNsPerSecond;
constexpr uint64_t kRoundingNs = 2 * kNsPerMs;  // of what is written in milliseconds, at both ends

TimeNs later(TimeNs time, uint64_t by) {
  return time > UINT64_MAX - by ? UINT64_MAX : time + by;
}

// Nanoseconds between two spans; 0 where they meet.
uint64_t between(const Span& one, const Span& other) {
  return one.from > other.to ? one.from - other.to : other.from > one.to ? other.from - one.to : 0;
}

// The middle of a span, for what is nearest to the moment that somebody asked about.
Span middle(const Span& span) {
  const TimeNs moment = span.from + (span.to - span.from) / 2;
  return {moment, moment};
}

Span span_of(const ConnectionFact& connection) {
  return {connection.seen, connection.last()};
}

bool is_socket(const Record& record) {
  const Kind kind = record.kind();
  return kind == Kind::kOpen || kind == Kind::kExisting || kind == Kind::kClose || kind == Kind::kFailed;
}

std::optional<uint64_t> number(const Record& record, Field field) {
  return record.has(field) ? std::optional(record.uint(field)) : std::nullopt;
}

// The text of that name among the record's other values; empty where there is none. Valid as long as the record.
std::string_view text_value(const Record& record, std::string_view name) {
  CborReader reader(as_bytes(record.text_or(Field::kAttrs, "")));
  CborItem item;
  CborItem value;
  if (!reader.next(item) || item.major != CborMajor::kMap) return {};
  for (uint64_t entries = item.value; entries > 0 && reader.next(item) && reader.next(value); --entries) {
    if (as_text(item.bytes) == name && value.major == CborMajor::kText) return as_text(value.bytes);
  }
  return {};
}

// A pool's console as portbook asks it (docs/sources.md): with a mode it says how long a client keeps a connection.
void read_pool_mode(const Record& record, LegLine& line) {
  const std::string_view mode = text_value(record, "pool_mode");
  line.sampled = !mode.empty();
  const bool session = mode == "session";
  line.passing = line.sampled && !session;
  line.lasts = session && !record.has(Field::kEnd);
  if (line.lasts) line.time.to = UINT64_MAX;
}

// Nothing where the record is none, or names not enough of both legs.
std::optional<LegLine> leg_line(uint64_t index, const Record& record) {
  if (record.kind() != Kind::kProxy) return std::nullopt;
  const auto client = record.endpoint(Field::kSrcIp, Field::kSrcPort);
  const auto own = record.endpoint(Field::kUpSrcIp, Field::kUpSrcPort);
  if (!client || !own) return std::nullopt;
  LegLine line;
  line.record = index;
  line.app = record.text_or(Field::kApp, "the proxy");
  line.source = record.text_or(Field::kSource, "");
  line.client = *client;
  line.entry = record.endpoint(Field::kDstIp, Field::kDstPort);
  line.own = *own;
  line.server = record.endpoint(Field::kUpDstIp, Field::kUpDstPort);
  line.time = {record.uint_or(Field::kStart, record.time()), record.uint_or(Field::kEnd, record.time())};
  line.error = record.uint_or(Field::kClockError, kUnstatedLogErrorNs);
  line.bytes_out = number(record, Field::kBytesOut);
  line.bytes_in = number(record, Field::kBytesIn);
  read_pool_mode(record, line);
  return line;
}

// The kernel cannot have had them in one process.
bool of_other_processes(const ConnectionFact& one, const ConnectionFact& other) {
  if (one.holders.empty() || other.holders.empty()) return false;
  for (const Holder& holder : one.holders) {
    if (std::ranges::find(other.holders, holder.process, &Holder::process) != other.holders.end()) return false;
  }
  const auto program = [](const ConnectionFact& of) { return of.process ? of.process->record.text_or(Field::kExe, "") : ""; };
  return program(one).empty() || program(one) != program(other);
}

// Whether the line's bytes are what the kernel counted at the client's leg, which has ended. Nothing where one of them does not
// say.
std::optional<bool> same_bytes(const LegLine& line, const ConnectionFact& client) {
  if (!line.bytes_out || !line.bytes_in || !client.end || !client.bytes_in || !client.bytes_out) return std::nullopt;
  return *line.bytes_out == *client.bytes_in && *line.bytes_in == *client.bytes_out;
}

// Its process's number; 0 where it names none.
uint64_t pid_value(const Record& record) {
  const std::string_view digits = text_value(record, "pid");
  uint64_t pid = 0;
  const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  return error == std::errc{} && rest == digits.data() + digits.size() ? pid : 0;
}

// "app - 192.0.2.7:41234", as PgBouncer's application_name_add_host has it; the last one counts.
std::optional<Endpoint> client_of_application(const Record& record) {
  const std::string_view name = text_value(record, "application");
  constexpr std::string_view kBefore = " - ";
  const size_t at = name.rfind(kBefore);
  const auto pattern = parse_endpoint_pattern(at == std::string_view::npos ? name : name.substr(at + kBefore.size()));
  if (!pattern || !pattern->is_address() || !pattern->port) return std::nullopt;
  return Endpoint{pattern->network.base, *pattern->port};
}

// The process of that number among the connection's own and its ancestors, which had begun by `time`.
bool descends_from(const ConnectionFact& of, uint64_t pid, TimeNs time) {
  const auto is = [&](const Record& process) {
    return process.uint_or(Field::kPid, 0) == pid && process.uint_or(Field::kProcessStart, UINT64_MAX) <= time;
  };
  return (of.process && is(of.process->record)) ||
         std::ranges::any_of(of.ancestors, [&](const ProcessFact& parent) { return is(parent.record); });
}

bool same_netns(const ConnectionFact& one, const ConnectionFact& other) {
  return !one.netns || !other.netns || *one.netns == *other.netns;
}

// Whether both lines speak of one time, however wrong their clocks: those of one source have one.
bool at_once(const LegLine& one, const LegLine& other) {
  const uint64_t error = one.source == other.source ? kRoundingNs : one.error + other.error;
  return one.time.to > later(other.time.from, error) && other.time.to > later(one.time.from, error);
}

// Whether the process ran as that user or had logged in as it, as far as its record names either.
bool may_be(const Record& process, std::string_view user) {
  const std::string_view now = process.text_or(Field::kUser, "");
  const std::string_view login = process.text_or(Field::kLoginUser, "");
  return (now.empty() && login.empty()) || user == now || user == login;
}

std::string method_of(const LegLine& line) {
  if (line.passing)
    return fmt::format(
        "{} showed them together at that moment, of a pool that may give another client the next; the kernel’s records "
        "have both",
        line.app);
  return fmt::format("{} {} both legs, and the kernel’s records have both", line.app, line.sampled ? "showed" : "logged");
}

std::string naming(const LegLine& line) {
  return fmt::format("#{} ({}’s log) says that {}", line.record, line.app, to_text(line.client));
}

}  // namespace

bool LogLegs::in_moment(const Pair& pair) const {
  return !moment_ || (between(pair.line.time, *moment_) <= pair.line.error && between(span_of(pair.client), *moment_) == 0 &&
                      between(span_of(pair.up), *moment_) == 0);
}

std::vector<LegLine> LogLegs::lines_naming(const Endpoint& endpoint, Side side, const Span& span) {
  std::vector<LegLine> lines;
  size_t rows = 0;
  const Status status = joins_.view().for_each_with(endpoint_key(endpoint), [&](uint64_t index, const Record& record) {
    auto line = leg_line(index, record);
    if (line && (side == Side::kClient ? line->client : line->own) == endpoint && between(line->time, span) <= line->error)
      lines.push_back(std::move(*line));
    return ++rows < kLogRowsMax && lines.size() < kLogLinesMax;
  });
  bounded_ = bounded_ || !status || rows >= kLogRowsMax || lines.size() >= kLogLinesMax;
  return lines;
}

// Those of the host and namespace of `of` that were open together with it, the other way.
std::vector<ConnectionFact> LogLegs::connections_at(const Endpoint& endpoint, const ConnectionFact& of) {
  std::set<Id128> conns;
  const Status status = joins_.view().for_each_with(endpoint_key(endpoint), [&](uint64_t, const Record& record) {
    if (is_socket(record) && record.has(Field::kConn)) conns.insert(record.id128(Field::kConn));
    return conns.size() < kLegConnectionsMax;
  });
  bounded_ = bounded_ || !status || conns.size() >= kLegConnectionsMax;
  std::vector<ConnectionFact> found;
  for (const Id128& conn : conns) {
    auto fact = connection_fact(joins_, conn);
    if (fact && fact->tuple.src == endpoint && fact->inbound != of.inbound && fact->host == of.host && same_netns(*fact, of) &&
        between(span_of(*fact), span_of(of)) == 0)
      found.push_back(std::move(*fact));
  }
  return found;
}

std::vector<LogLegs::Pair> LogLegs::pairs_of(const ConnectionFact& of, std::vector<LegLine>& unseen) {
  std::vector<Pair> pairs;
  for (const LegLine& line : lines_naming(of.tuple.src, of.inbound ? Side::kClient : Side::kOwn, span_of(of))) {
    const auto& here = of.inbound ? line.entry : line.server;
    const auto& there = of.inbound ? line.server : line.entry;
    if (here && *here != of.tuple.dst) continue;
    // What lasts lasts for the connections that it was seen with, not for later ones on the same ports.
    const Span seen = line.lasts ? Span{line.time.from, line.time.from} : line.time;
    if (between(seen, span_of(of)) > line.error) continue;
    std::vector<ConnectionFact> others = connections_at(of.inbound ? line.own : line.client, of);
    std::erase_if(others, [&](const ConnectionFact& other) {
      return (there && *there != other.tuple.dst) || between(seen, span_of(other)) > line.error;
    });
    if (others.empty()) unseen.push_back(line);
    for (const ConnectionFact& other : others) {
      pairs.push_back({line, of.inbound ? of : other, of.inbound ? other : of, others.size() > 1});
      if (line.lasts) pairs.back().line.time.to = std::max(line.time.from, std::min(of.last(), other.last()));
    }
  }
  return pairs;
}

LogLegs::Holds LogLegs::judge(const Pair& pair, const std::vector<Pair>& rivals, LegAnswer& answer) {
  const LegLine& line = pair.line;
  if (of_other_processes(pair.client, pair.up)) {
    answer.contradictions.push_back(
        {fmt::format("{} came through to {}; the kernel’s records have these two in different programs.", naming(line),
                     to_text(line.own)),
         {pair.client.main, pair.up.main, line.record}});
    return Holds::kNo;
  }
  Holds holds = pair.ambiguous || line.passing ? Holds::kPerhaps : Holds::kYes;
  for (const Pair& rival : rivals) {
    if (rival.client.conn == pair.client.conn || rival.line.record == line.record || !at_once(rival.line, line)) continue;
    const bool refuted = same_bytes(line, pair.client) == false && same_bytes(rival.line, rival.client) == true;
    const bool refutes = same_bytes(line, pair.client) == true && same_bytes(rival.line, rival.client) == false;
    const Pair& first = rival.line.record < line.record ? rival : pair;
    const Pair& second = rival.line.record < line.record ? pair : rival;
    std::string text = fmt::format("{} came through to {}; #{} says the same of {} at that time.", naming(first.line),
                                   to_text(line.own), second.line.record, to_text(second.line.client));
    text += refuted || refutes ? fmt::format(" The kernel’s byte counts are those of #{}.", (refuted ? rival : pair).line.record)
                               : " One is wrong, unless they shared it.";
    answer.contradictions.push_back(
        {std::move(text), {pair.client.main, rival.client.main, pair.up.main, line.record, rival.line.record}});
    if (refuted) return Holds::kNo;
    if (!refutes) holds = Holds::kPerhaps;
  }
  return holds;
}

LegAnswer LogLegs::stated(const ConnectionFact& of) {
  LegAnswer answer;
  std::vector<Pair> pairs = pairs_of(of, answer.unseen);
  answer.silent = pairs.empty() && answer.unseen.empty();
  std::erase_if(pairs, [&](const Pair& pair) { return !in_moment(pair); });
  std::erase_if(answer.unseen, [&](const LegLine& line) { return moment_ && between(line.time, *moment_) > line.error; });
  const std::vector<Pair> clients = of.inbound ? std::vector<Pair>() : pairs;
  for (const Pair& pair : pairs) {
    std::vector<LegLine> not_asked;
    const Holds holds = judge(pair, of.inbound ? pairs_of(pair.up, not_asked) : clients, answer);
    const ConnectionFact& other = of.inbound ? pair.up : pair.client;
    const auto known = std::ranges::find_if(answer.legs, [&](const Leg& leg) { return leg.connection.conn == other.conn; });
    if (holds == Holds::kNo) continue;
    if (known != answer.legs.end()) {
      known->records.push_back(pair.line.record);
      known->certain = known->certain || holds == Holds::kYes;
      known->passing = known->passing && pair.line.passing;
      continue;
    }
    const uint64_t begun = other.seen > of.seen ? other.seen - of.seen : of.seen - other.seen;
    answer.legs.push_back({other,
                           {pair.line.record},
                           method_of(pair.line),
                           holds == Holds::kYes,
                           pair.line.passing,
                           moment_ ? between(pair.line.time, middle(*moment_)) : begun});
  }
  // Lines of one moment, give or take their clocks, that follow each other: which one it was they cannot say.
  if (moment_ && !of.inbound && answer.legs.size() > 1) {
    for (Leg& leg : answer.legs) leg.certain = false;
  }
  return answer;
}

LegAnswer LogLegs::named(const ConnectionFact& outbound) {
  struct Name {
    Endpoint client;
    TimeNs time;
    uint64_t record;
    std::string app;
  };
  std::vector<Name> names;
  const Span asked = moment_.value_or(span_of(outbound));
  size_t rows = 0;
  const auto visit = [&](uint64_t index, const Record& record) {
    const bool note = record.kind() == Kind::kNote && record.endpoint(Field::kSrcIp, Field::kSrcPort) == outbound.tuple.src;
    const uint64_t error = record.uint_or(Field::kClockError, kUnstatedLogErrorNs);
    const auto client =
        note && between({record.time(), record.time()}, asked) <= error ? client_of_application(record) : std::nullopt;
    if (client) names.push_back({*client, record.time(), index, std::string(record.text_or(Field::kApp, "the server"))});
    return ++rows < kLogRowsMax && names.size() < kLogLinesMax;
  };
  // A server logs a line for each statement: first where lines of about then are.
  const View& view = joins_.view();
  const RowKey key = endpoint_key(outbound.tuple.src);
  Status status;
  bool more = true;
  for (const View::KeyBlock& one : view.blocks_with(key)) {
    const Block& block = *view.blocks()[one.block].block;
    if (between({block.time_min(), block.time_max()}, asked) > kNearNs) continue;
    if (status && more) status = view.for_each_in(one, key, visit, more);
  }
  if (names.empty() && status && more) status = view.for_each_with(key, visit);
  bounded_ = bounded_ || !status || rows >= kLogRowsMax || names.size() >= kLogLinesMax;
  LegAnswer answer;
  for (const Name& name : names) {
    const uint64_t apart_ns = moment_ ? between({name.time, name.time}, middle(*moment_)) : 0;
    const auto of_name = [&](const Leg& leg) { return leg.connection.tuple.src == name.client; };
    const auto known = std::ranges::find_if(answer.legs, of_name);
    if (known != answer.legs.end()) {
      known->apart_ns = std::min(known->apart_ns, apart_ns);
      continue;
    }
    for (ConnectionFact& client : connections_at(name.client, outbound)) {
      const bool then = !moment_ || between(span_of(client), *moment_) == 0;
      if (!then || of_other_processes(client, outbound)) continue;
      answer.legs.push_back(
          {std::move(client),
           {name.record},
           fmt::format("{}’s log has {} in the application’s name, which a client may choose; the same program held both", name.app,
                       to_text(name.client)),
           false,
           true,
           apart_ns});
    }
  }
  return answer;
}

std::optional<LegLogin> LogLegs::login(const ConnectionFact& inbound, const ConnectionFact& outbound) {
  if (!outbound.process) return std::nullopt;
  std::optional<LegLogin> found;
  const Span held = span_of(inbound);
  size_t rows = 0;
  const Status status = joins_.view().for_each_with(endpoint_key(inbound.tuple.src), [&](uint64_t index, const Record& record) {
    const std::string_view user = record.text_or(Field::kPrincipal, "");
    const uint64_t error = record.uint_or(Field::kClockError, kUnstatedLogErrorNs);
    const uint64_t pid = pid_value(record);
    const bool is_login = record.kind() == Kind::kNote && !user.empty() && pid != 0 &&
                          record.endpoint(Field::kSrcIp, Field::kSrcPort) == inbound.tuple.src &&
                          between({record.time(), record.time()}, held) <= error;
    if (is_login && may_be(outbound.process->record, user) && descends_from(outbound, pid, later(record.time(), error)))
      found = {index, pid, std::string(user), std::string(record.text_or(Field::kApp, "the server"))};
    return !found && ++rows < kLogRowsMax;
  });
  bounded_ = bounded_ || !status || rows >= kLogRowsMax;
  return found;
}

std::optional<LegLine> LogLegs::line_beside(const ConnectionFact& of) {
  if (!of.end) return std::nullopt;
  std::optional<LegLine> beside;
  size_t rows = 0;
  const Status status = joins_.view().for_each_with(endpoint_key(of.tuple.dst), [&](uint64_t index, const Record& record) {
    auto line = leg_line(index, record);
    const auto service = line ? (of.inbound ? line->entry : line->server) : std::nullopt;
    if (service == of.tuple.dst && !line->sampled && between(line->time, span_of(of)) == 0) beside = std::move(line);
    return !beside && ++rows < kLogRowsMax;
  });
  return status ? beside : std::nullopt;
}

}  // namespace portbook
