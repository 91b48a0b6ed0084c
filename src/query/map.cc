#include "query/map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "base/bytes.h"
#include "query/each_record.h"
#include "query/html.h"
#include "query/json_writer.h"
#include "query/moment.h"
#include "query/trace_ends.h"

namespace portbook {

namespace {

// Each different service once, by a number.
class Services {
 public:
  uint32_t id(Service::Kind kind, std::string_view name, std::string_view host) {
    const auto name_bytes = static_cast<uint32_t>(name.size());
    key_.assign(1, static_cast<char>(kind));
    key_.append(reinterpret_cast<const char*>(&name_bytes), sizeof(name_bytes));
    key_.append(name).append(host);
    const auto [place, is_new] = ids_.try_emplace(key_, static_cast<uint32_t>(all_.size()));
    if (is_new) all_.push_back({kind, std::string(name), std::string(host)});
    return place->second;
  }
  uint32_t id(const Ip& ip) { return id(Service::Kind::kAddress, to_text(ip), ""); }
  [[nodiscard]] const Service& of(uint32_t id) const { return all_[id]; }

 private:
  std::string key_;
  std::unordered_map<std::string, uint32_t> ids_;
  std::vector<Service> all_;
};

// One connection as the map needs it: its ends on the wire, who is at the local one.
struct Seen {
  uint32_t local = 0;  // service
  uint32_t host = 0;   // of it; the same number for the same host
  bool inbound = false;
  RowState state = RowState::kOpen;
  uint64_t proto = 0;
  Endpoint src;  // on the wire: after translation, where it is known
  Endpoint dst;
  Endpoint asked;  // destination as the client asked for it
  TimeNs start = 0;
  uint64_t bytes_sent = 0;  // by the local end
  uint64_t bytes_received = 0;
};

// What is read of a connection's record, and of the record of who accepted it.
constexpr FieldSet seen_fields() {
  FieldSet fields = fields_of(kRowFields);
  fields.add(fields_of(kProcessKeyFields));
  fields.add(fields_of(std::array{Field::kProto, Field::kSrcIp, Field::kSrcPort, Field::kDstIp, Field::kDstPort, Field::kSrcNatIp,
                                  Field::kSrcNatPort, Field::kDstNatIp, Field::kDstNatPort, Field::kNat, Field::kHost, Field::kExe,
                                  Field::kContainer, Field::kContainerName, Field::kBytesOut, Field::kBytesIn}));
  return fields;
}
constexpr FieldSet kSeenFields = seen_fields();

// Reads connections off the rows of a search, and who was at their local ends.
class SeenReader {
 public:
  explicit SeenReader(Joins& joins) : joins_(joins) {}

  // Nothing of a record without both ends.
  std::optional<Seen> read(uint64_t index, const Record& main) {
    auto tuple = tuple_of(main);
    if (!tuple) return std::nullopt;
    const RowInterval interval = row_interval(main);
    const std::string_view host = main.text_or(Field::kHost, "");
    Seen seen;
    seen.local = local_service(index, main, host);
    seen.host = services.id(Service::Kind::kAddress, "", host);
    seen.inbound = main.uint_or(Field::kDirection, 0) == static_cast<uint64_t>(Direction::kIn);
    seen.state = row_state(main.kind());
    seen.proto = tuple->proto;
    seen.asked = tuple->dst;
    seen.start = interval.start.value_or(main.time());
    seen.bytes_sent = main.uint_or(Field::kBytesOut, 0);
    seen.bytes_received = main.uint_or(Field::kBytesIn, 0);
    auto external = main.endpoint(Field::kSrcNatIp, Field::kSrcNatPort);
    auto server = main.endpoint(Field::kDstNatIp, Field::kDstNatPort);
    if (!external && !server) {
      if (const auto lease = joins_.translation_of(main)) {
        external = lease->external;
        server = lease->server;
      }
    }
    seen.src = external.value_or(tuple->src);
    seen.dst = server.value_or(tuple->dst);
    return seen;
  }

  Services services;

 private:
  uint32_t local_service(uint64_t index, const Record& main, std::string_view host) {
    const Record& owner = owner_record(joins_, main);
    if (const auto name = container_name(index, main, owner); !name.empty())
      return services.id(Service::Kind::kContainer, name, host);
    if (owner.has(Field::kContainer))
      return services.id(Service::Kind::kContainer, owner.text(Field::kContainer).substr(0, 12), host);
    if (!owner.has(Field::kExe)) return services.id(Service::Kind::kProgram, "an unknown process", host);
    const std::string_view exe = owner.text(Field::kExe);
    return services.id(Service::Kind::kProgram, exe.substr(exe.rfind('/') + 1), host);
  }
  // Its process is asked only where there is a container: most connections have none, and short-lived processes are many.
  std::string_view container_name(uint64_t index, const Record& main, const Record& owner) {
    if (main.has(Field::kContainerName)) return main.text(Field::kContainerName);
    if (!owner.has(Field::kContainer) || !owner.has(Field::kPid) || !owner.has(Field::kProcessStart)) return {};
    const Indexed* const process = joins_.process({owner.uint(Field::kPid), owner.uint(Field::kProcessStart)}, index);
    return process == nullptr ? std::string_view() : process->record.text_or(Field::kContainerName, "");
  }

  Joins& joins_;
};

// Where a connection is on the wire.
struct Wire {
  Endpoint src;
  Endpoint dst;
  uint64_t proto = 0;
  bool operator==(const Wire&) const = default;
};
struct WireHash {
  size_t operator()(const Wire& wire) const {
    constexpr uint64_t kMix = 0x9e3779b97f4a7c15U;
    uint64_t hash = wire.proto;
    for (const Endpoint& end : {wire.src, wire.dst}) {
      hash = (hash ^ load_little<uint64_t>(end.ip.bytes.data())) * kMix;
      hash = (hash ^ load_little<uint64_t>(end.ip.bytes.data() + 8) ^ (uint64_t{end.port} << 48)) * kMix;
    }
    return hash ^ (hash >> 32);
  }
};
Wire wire_of(const Seen& seen) {
  return {seen.src, seen.dst, seen.proto};
}

// The inbound records by their tuple on the wire; each is taken once, by the client's record of the same connection. Hosts may have
// the same private addresses, and all have 127.0.0.1: the client's own host comes first, then what began nearest.
class Acceptors {
 public:
  explicit Acceptors(const std::vector<Seen>& all) : next_(all.size(), kNone), taken_(all.size()) {
    for (size_t i = all.size(); i-- > 0;) {
      if (!all[i].inbound) continue;
      const auto [first, is_new] = first_.try_emplace(wire_of(all[i]), static_cast<uint32_t>(i));
      if (!is_new) next_[i] = std::exchange(first->second, static_cast<uint32_t>(i));
    }
  }
  std::optional<size_t> take(const Seen& client, const std::vector<Seen>& all) {
    const auto found = first_.find(wire_of(client));
    if (found == first_.end()) return std::nullopt;
    std::optional<size_t> best;
    std::pair<bool, uint64_t> best_rank;
    for (uint32_t i = found->second; i != kNone; i = next_[i]) {
      const bool elsewhere = all[i].host != client.host;
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
  static constexpr uint32_t kNone = UINT32_MAX;
  static_assert(kMapRowsMax < kNone);
  std::unordered_map<Wire, uint32_t, WireHash> first_;
  std::vector<uint32_t> next_;  // of the same tuple
  std::vector<bool> taken_;
};

struct LinkKey {
  uint32_t from = 0;  // services
  uint32_t to = 0;
  uint16_t port = 0;
  uint64_t proto = 0;
  bool operator==(const LinkKey&) const = default;
};
struct LinkKeyHash {
  size_t operator()(const LinkKey& key) const {
    const uint64_t hash = ((uint64_t{key.from} << 32) | key.to) * 0x9e3779b97f4a7c15U;
    return (hash ^ (hash >> 29) ^ ((uint64_t{key.port} << 8) | key.proto)) * 0x9e3779b97f4a7c15U >> 16;
  }
};
using Links = std::unordered_map<LinkKey, ServiceLink, LinkKeyHash>;

void count(const Seen& seen, const LinkKey& key, Links& links, ServiceMap& map) {
  auto place = links.find(key);
  if (place == links.end()) {
    if (links.size() >= kMapLinksMax) {
      map.cut = true;
      return;
    }
    place = links.emplace(key, ServiceLink{}).first;
    place->second.first = place->second.last = seen.start;
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
  SeenReader reader(search.joins());
  const auto stop_at = std::chrono::steady_clock::now() + time_max;
  const auto whole = each_record(search, kSeenFields, kMapRowsMax, stop_at, [&](uint64_t index, const Record& record) {
    if (auto seen = reader.read(index, record)) all.push_back(*seen);
  });
  if (!whole) return std::unexpected(whole.error());
  map.cut = !*whole;
  Acceptors acceptors(all);
  Services& services = reader.services;
  Links links;
  for (const Seen& seen : all) {
    if (seen.inbound) continue;
    const auto server = acceptors.take(seen, all);
    count(seen, {seen.local, server ? all[*server].local : services.id(seen.dst.ip), seen.asked.port, seen.proto}, links, map);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i].inbound || acceptors.taken(i)) continue;
    count(all[i], {services.id(all[i].src.ip), all[i].local, all[i].dst.port, all[i].proto}, links, map);
  }
  for (auto& [key, link] : links) {
    link.from = services.of(key.from);
    link.to = services.of(key.to);
    link.port = fmt::format("{}/{}", key.port, enum_name(Field::kProto, key.proto));
    map.links.push_back(std::move(link));
  }
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
