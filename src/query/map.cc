#include "query/map.h"

#include <fmt/format.h>

#include <algorithm>

#include "query/html.h"
#include "query/json_writer.h"
#include "query/moment.h"
#include "query/trace_ends.h"

namespace portbook {

namespace {

// One connection as the map needs it: its ends on the wire, who is at the local one.
struct Seen {
  Service local;
  bool inbound = false;
  Endpoint src;  // on the wire: after translation, where it is known
  Endpoint dst;
  Endpoint asked;  // destination as the client asked for it
  uint64_t proto = 0;
  TimeNs start = 0;
  RowState state = RowState::kOpen;
  uint64_t bytes_sent = 0;  // by the local end
  uint64_t bytes_received = 0;
};

Service local_service(const Record& record) {
  const std::string host(record.text_or(Field::kHost, ""));
  if (record.has(Field::kContainerName)) return {Service::Kind::kContainer, std::string(record.text(Field::kContainerName)), host};
  if (record.has(Field::kContainer))
    return {Service::Kind::kContainer, std::string(record.text(Field::kContainer).substr(0, 12)), host};
  if (record.has(Field::kExe)) {
    const std::string_view exe = record.text(Field::kExe);
    return {Service::Kind::kProgram, std::string(exe.substr(exe.rfind('/') + 1)), host};
  }
  return {Service::Kind::kProgram, "an unknown process", host};
}

Service address_service(const Ip& ip) {
  return {Service::Kind::kAddress, to_text(ip), ""};
}

std::optional<Seen> seen_of(const Row& row) {
  const auto tuple = tuple_of(row.record);
  if (!tuple) return std::nullopt;
  Seen seen;
  seen.local = local_service(row.record);
  seen.inbound = row.record.uint_or(Field::kDirection, 0) == static_cast<uint64_t>(Direction::kIn);
  seen.src = row.external.value_or(tuple->src);
  seen.asked = tuple->dst;
  seen.dst = row.record.endpoint(Field::kDstNatIp, Field::kDstNatPort).value_or(tuple->dst);
  seen.proto = tuple->proto;
  seen.start = row.start.value_or(row.record.time());
  seen.state = row.state;
  seen.bytes_sent = row.record.uint_or(Field::kBytesOut, 0);
  seen.bytes_received = row.record.uint_or(Field::kBytesIn, 0);
  return seen;
}

using Wire = std::tuple<uint64_t, Endpoint, Endpoint>;
Wire wire_of(const Seen& seen) {
  return {seen.proto, seen.src, seen.dst};
}

// The inbound records by their tuple on the wire; each is taken once, by the client's record of the same connection. Hosts may have
// the same private addresses, and all have 127.0.0.1: the client's own host comes first, then what began nearest.
class Acceptors {
 public:
  explicit Acceptors(const std::vector<Seen>& all) : taken_(all.size()) {
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].inbound) by_wire_[wire_of(all[i])].push_back(i);
    }
  }
  std::optional<size_t> take(const Seen& client, const std::vector<Seen>& all) {
    const auto found = by_wire_.find(wire_of(client));
    if (found == by_wire_.end()) return std::nullopt;
    std::optional<size_t> best;
    std::pair<bool, uint64_t> best_rank;
    for (const size_t i : found->second) {
      const bool elsewhere = all[i].local.host != client.local.host;
      const uint64_t apart = all[i].start > client.start ? all[i].start - client.start : client.start - all[i].start;
      if (taken_[i] || apart > kHandshakeNs || (elsewhere && client.dst.ip.is_loopback())) continue;
      const std::pair rank(elsewhere, apart);
      if (best && best_rank <= rank) continue;
      best = i;
      best_rank = rank;
    }
    if (best) taken_[*best] = true;
    return best;
  }
  [[nodiscard]] bool taken(size_t i) const { return taken_[i]; }

 private:
  std::map<Wire, std::vector<size_t>> by_wire_;
  std::vector<bool> taken_;
};

void count(const Seen& seen, Service from, Service to, const Endpoint& server,
           std::map<std::tuple<Service, Service, std::string>, ServiceLink>& links, ServiceMap& map) {
  const std::string port = fmt::format("{}/{}", server.port, enum_name(Field::kProto, seen.proto));
  const auto key = std::tuple(from, to, port);
  auto place = links.find(key);
  if (place == links.end()) {
    if (links.size() >= kMapLinksMax) {
      map.cut = true;
      return;
    }
    place = links.emplace(key, ServiceLink{std::move(from), std::move(to), port, 0, 0, 0, 0, 0, seen.start, seen.start}).first;
  }
  ServiceLink& link = place->second;
  ++map.connections;
  ++link.count;
  link.failed += seen.state == RowState::kFailed ? 1 : 0;
  link.open += seen.state == RowState::kOpen ? 1 : 0;
  link.bytes_out += seen.inbound ? seen.bytes_received : seen.bytes_sent;
  link.bytes_in += seen.inbound ? seen.bytes_sent : seen.bytes_received;
  link.first = std::min(link.first, seen.start);
  link.last = std::max(link.last, seen.start);
}

std::string_view kind_text(Service::Kind kind) {
  return kind == Service::Kind::kContainer ? "container" : kind == Service::Kind::kProgram ? "program" : "address";
}

void append_service(std::string_view name, const Service& service, Json& json) {
  json.open(name, '{');
  json.text("kind", kind_text(service.kind));
  json.text("name", service.name);
  json.text_or_null("host", service.host);
  json.close('}');
}

}  // namespace

std::string to_text(const Service& service) {
  return service.host.empty() ? service.name : fmt::format("{} on {}", service.name, service.host);
}

Result<ServiceMap> service_map(const View& view, Filter filter, std::chrono::milliseconds time_max) {
  ServiceMap map;
  std::vector<Seen> all;
  Search search(view, std::move(filter), std::nullopt);
  const auto stop_at = std::chrono::steady_clock::now() + time_max;
  while (all.size() < kMapRowsMax) {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(stop_at - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    const auto done = search.step(kMapRowsMax - all.size(), left, [&](const Row& row) {
      if (auto seen = seen_of(row)) all.push_back(std::move(*seen));
    });
    if (!done) return std::unexpected(done.error());
    if (*done) break;
  }
  map.cut = !search.done();
  Acceptors acceptors(all);
  std::map<std::tuple<Service, Service, std::string>, ServiceLink> links;
  for (const Seen& seen : all) {
    if (seen.inbound) continue;
    const auto server = acceptors.take(seen, all);
    count(seen, seen.local, server ? all[*server].local : address_service(seen.dst.ip), seen.asked, links, map);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].inbound && !acceptors.taken(i)) count(all[i], address_service(all[i].src.ip), all[i].local, all[i].dst, links, map);
  }
  for (auto& [key, link] : links) map.links.push_back(std::move(link));
  std::ranges::sort(map.links, {}, [](const ServiceLink& link) { return std::tuple(~link.count, link.from, link.to, link.port); });
  return map;
}

std::string to_json(const ServiceMap& map) {
  std::string out;
  Json json(out);
  json.open('{');
  json.open("links", '[');
  for (const ServiceLink& link : map.links) {
    json.open('{');
    append_service("from", link.from, json);
    append_service("to", link.to, json);
    json.text("port", link.port);
    json.number("count", link.count);
    json.number("failed", link.failed);
    json.number("open", link.open);
    json.number("bytes_out", link.bytes_out);
    json.number("bytes_in", link.bytes_in);
    json.text("first", format_time(link.first));
    json.text("last", format_time(link.last));
    json.close('}');
  }
  json.close(']');
  json.number("connections", map.connections);
  json.boolean("cut", map.cut);
  json.close('}');
  return out;
}

std::string to_html(const ServiceMap& map, std::string_view origin, std::string_view filter) {
  HtmlPage page("Who talks to whom");
  page.paragraph(fmt::format("Book {}. {} connections. Filter: {}.", origin, map.connections, filter.empty() ? "none" : filter));
  if (map.cut) page.warning("A limit was met: only the newest connections are in this map.");
  std::vector<std::vector<std::string>> rows;
  for (const ServiceLink& link : map.links) {
    rows.push_back({to_text(link.from), to_text(link.to), link.port, std::to_string(link.count), std::to_string(link.failed),
                    std::to_string(link.open), std::to_string(link.bytes_out), std::to_string(link.bytes_in),
                    moment_text(link.last)});
  }
  page.table({"from", "to", "port", "connections", "failed", "open", "bytes out", "bytes in", "newest"}, rows);
  return page.finished();
}

}  // namespace portbook
