#include "workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/bytes.h"

namespace portbook {

namespace {

constexpr TimeNs kBegin = 1'793'491'200'000'000'000;  // 2026-11-01T00:00:00Z
constexpr uint64_t kSecond = kNsPerSecond;
constexpr uint64_t kTimeWaitSeconds = 60;
constexpr uint64_t kLeaseRestSeconds = 120;  // conntrack keeps a closed connection so long
constexpr uint32_t kScanPorts = 40;

constexpr std::array<uint16_t, 24> kServices = {443,  5432, 80, 53,   6379, 9092,  8080, 3306,  22,   9200, 5672,  2379,
                                                8443, 389,  25, 9100, 4317, 27017, 3000, 11211, 6443, 8125, 10250, 1883};
constexpr std::array<std::string_view, 16> kPrograms = {"/usr/bin/python3",
                                                        "/usr/sbin/nginx",
                                                        "/usr/lib/postgresql/15/bin/postgres",
                                                        "/usr/bin/curl",
                                                        "/usr/bin/node",
                                                        "/usr/sbin/haproxy",
                                                        "/usr/lib/jvm/java-17/bin/java",
                                                        "/usr/bin/redis-server",
                                                        "/usr/sbin/sshd",
                                                        "/usr/bin/ssh",
                                                        "/usr/local/bin/orders",
                                                        "/usr/local/bin/billing",
                                                        "/usr/bin/kubelet",
                                                        "/usr/bin/node_exporter",
                                                        "/usr/lib/apt/methods/https",
                                                        "/usr/sbin/chronyd"};

// Ranks 0 to `count` with probability 1 / (rank + 1), as a table to draw from.
std::vector<uint16_t> zipf_table(uint32_t count, uint32_t size) {
  double sum = 0;
  for (uint32_t rank = 0; rank < count; ++rank) sum += 1.0 / (rank + 1);
  std::vector<uint16_t> table;
  double reached = 0;
  for (uint32_t rank = 0; rank < count; ++rank) {
    reached += 1.0 / (rank + 1) / sum;
    while (table.size() < size && static_cast<double>(table.size()) < reached * size) table.push_back(static_cast<uint16_t>(rank));
  }
  table.resize(size, 0);
  return table;
}

}  // namespace

Workload::Workload(const WorkloadOptions& options)
    : options_(options),
      random_(options.seed),
      host_table_(zipf_table(options.hosts, kTableSize)),
      service_table_(zipf_table(kServices.size(), kTableSize)),
      next_arrival_(kBegin) {
  std::lognormal_distribution<double> usual(-1.6, 1.9);  // seconds; median 0.2
  duration_table_.reserve(kTableSize);
  for (uint32_t i = 0; i < kTableSize; ++i) duration_table_.push_back(static_cast<uint64_t>(usual(random_) * 1e9) + 80'000);
  hosts_.resize(options.hosts + 1);
  for (uint32_t i = 0; i < hosts_.size(); ++i) make_host(i);
}

void Workload::make_host(uint32_t index) {
  Host& host = hosts_[index];
  const bool gateway = index == options_.hosts;
  host.name = gateway ? "nat-1" : fmt::format("{}-{}", std::array{"web", "app", "db", "job"}[index % 4], index);
  host.v4 = gateway ? Ip::v4(0xcb007105) : Ip::v4(0x0a000000 + (index / 250 << 8) + index % 250 + 1);
  std::array<Byte, 16> v6{0x20, 0x01, 0x0d, 0xb8};
  store_big(v6.data() + 8, uint64_t{index} + 1);
  host.v6 = Ip::v6(v6.data());
  host.behind_gateway = !gateway && percent(15);
  host.synchronised = gateway || !percent(3);
  const int64_t skew_max = host.synchronised ? 300'000 : 2'000'000'000;
  host.clock_offset_ns = static_cast<int64_t>(below(static_cast<uint64_t>(2 * skew_max))) - skew_max;
  host.boot = random_();
  host.port_free_at.assign(kPortCount, 0);
  uint32_t pid = 400;
  for (Process& process : host.processes) {
    pid += 1 + static_cast<uint32_t>(below(120));
    const auto program = static_cast<uint32_t>(below(kPrograms.size()));
    process = {pid, program, program < 3 ? 33 : 1000 + static_cast<uint32_t>(below(60)), kBegin - below(20 * 86'400 * kSecond),
               false};
  }
}

// Uniform over the range; a port that is in use or in TIME_WAIT is not taken again.
uint16_t Workload::free_port(Host& host, TimeNs until) {
  const auto now = static_cast<uint32_t>((next_arrival_ - kBegin) / kSecond);
  auto at = static_cast<uint32_t>(below(kPortCount));
  for (int tries = 0; tries < 64 && host.port_free_at[at] > now; ++tries) at = static_cast<uint32_t>(below(kPortCount));
  host.port_free_at[at] = static_cast<uint32_t>((until - kBegin) / kSecond + kTimeWaitSeconds + 1);
  return static_cast<uint16_t>(kPortFirst + at);
}

Workload::Process& Workload::owner(Host& host, bool serves, uint32_t service, uint16_t& slot) {
  slot = static_cast<uint16_t>(serves ? service % kProcessesPerHost : random_() % kProcessesPerHost);
  Process& process = host.processes[slot];
  if (below(serves ? 50'000 : 2'000) == 0) {  // it was started anew
    process.pid = 400 + static_cast<uint32_t>(below(4'000'000));
    process.start = next_arrival_ - below(kSecond);
    process.told = false;
  }
  if (!process.told) {
    process.told = true;
    processes_to_tell_.emplace_back(static_cast<uint32_t>(&host - hosts_.data()), process);
  }
  return process;
}

uint32_t Workload::take_slot() {
  if (free_slots_.empty()) {
    connections_.emplace_back();
    return static_cast<uint32_t>(connections_.size() - 1);
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  connections_[slot] = {};
  return slot;
}

void Workload::plan(uint32_t connection, What what, TimeNs when, bool may_be_late) {
  TimeNs told = when;
  if (may_be_late && percent(1.1)) told += below(11) == 0 ? 3'600 * kSecond * (1 + below(6)) : 60 * kSecond * (1 + below(15));
  events_.push({told, ++order_, connection, what});
  ++connections_[connection].events;
}

void Workload::arrive() {
  next_arrival_ += below(2 * kSecond / options_.connections_per_second) + 1;
  const uint32_t client = zipf(host_table_);
  if (below(4'000) == 0) {
    scan(client);
    return;
  }
  const uint32_t slot = take_slot();
  Connection& of = connections_[slot];
  Host& host = hosts_[client];
  const uint32_t service = zipf(service_table_);
  const bool v6 = percent(options_.ipv6_percent);
  const bool outside = percent(host.behind_gateway ? 60 : 25);
  uint64_t lasts = duration_table_[random_() % kTableSize] + below(1'000'000);
  // A Pareto tail of hours and days behind the log-normal bulk.
  if (percent(0.5))
    lasts = static_cast<uint64_t>(std::min(60e9 * std::pow(static_cast<double>(below(1'000'000) + 1) / 1e6, -1 / 0.9), 8.64e14));
  of.client = client;
  of.server = outside ? kOutside : static_cast<uint32_t>((client + 1 + service * 7 + below(3)) % options_.hosts);
  of.start = next_arrival_;
  of.end = next_arrival_ + lasts;
  of.client_cookie = ++host.cookies;
  of.client_owner = owner(host, false, service, of.client_process);
  of.source = {v6 ? host.v6 : host.v4, free_port(host, of.end)};
  of.bytes_out = 200 + below(lasts / 4'000'000 + 1'800);
  of.bytes_in = 300 + below(lasts / 500'000 + 30'000);
  if (outside) {
    const auto remote = static_cast<uint32_t>(zipf(host_table_) * 37 % 5'000);
    std::array<Byte, 16> address{0x26, 0x06, 0x47};
    store_big(address.data() + 8, uint64_t{remote} + 1);
    of.destination = {v6 ? Ip::v6(address.data()) : Ip::v4(0xc6336400 + remote), kServices[service]};
  } else {
    Host& server = hosts_[of.server];
    of.server_cookie = ++server.cookies;
    of.server_owner = owner(server, true, service, of.server_process);
    of.destination = {v6 ? server.v6 : server.v4, kServices[service]};
  }
  plan(slot, What::kClientOpen, of.start, true);
  if (!outside) plan(slot, What::kServerOpen, of.start + 40'000, true);
  const bool through_gateway = outside && host.behind_gateway && !v6;
  if (through_gateway) {
    Host& gateway = hosts_.back();
    uint32_t& kept = gateway.port_free_at[of.source.port - kPortFirst];
    const bool is_free = kept <= (next_arrival_ - kBegin) / kSecond;
    const TimeNs until = of.end + kLeaseRestSeconds * kSecond;
    of.translated = {gateway.v4, is_free ? of.source.port : free_port(gateway, until)};
    if (is_free) kept = static_cast<uint32_t>((until - kBegin) / kSecond);
    of.lease = ++leases_;
    plan(slot, What::kLeaseOpen, of.start + 90'000, true);
  }
  if (percent(5)) return;  // its end is never told
  plan(slot, What::kClientClose, of.end, true);
  if (!outside) plan(slot, What::kServerClose, of.end + 60'000, true);
  if (through_gateway) plan(slot, What::kLeaseClose, of.end + kLeaseRestSeconds * kSecond, true);
}

// One host tries many ports of another.
void Workload::scan(uint32_t client) {
  Host& host = hosts_[client];
  const auto victim = static_cast<uint32_t>(below(options_.hosts));
  const auto first = static_cast<uint16_t>(1 + below(60'000));
  for (uint16_t i = 0; i < kScanPorts; ++i) {
    const uint32_t slot = take_slot();
    Connection& of = connections_[slot];
    of.client = client;
    of.server = kOutside;
    of.start = next_arrival_ + i * uint64_t{1'000'000};
    of.end = of.start + 300'000;
    of.client_cookie = ++host.cookies;
    of.client_owner = owner(host, true, 3, of.client_process);
    of.source = {host.v4, free_port(host, of.end)};
    of.destination = {hosts_[victim].v4, static_cast<uint16_t>(first + i)};
    plan(slot, What::kRefused, of.end, false);
  }
}

uint32_t Workload::next(Record& record) {
  while (processes_to_tell_.empty() && (events_.empty() || events_.top().told > next_arrival_)) arrive();
  record.clear();
  if (!processes_to_tell_.empty()) {
    const auto [host, process] = processes_to_tell_.front();
    processes_to_tell_.pop_front();
    write_process(hosts_[host], process, record);
    return host;
  }
  const Event event = events_.top();
  events_.pop();
  return write(event, record);
}

uint32_t Workload::write(const Event& event, Record& record) {
  Connection& of = connections_[event.connection];
  const bool lease = event.what == What::kLeaseOpen || event.what == What::kLeaseClose;
  const uint32_t host = lease ? write_lease(event, of, record) : write_socket(event, of, record);
  if (--of.events == 0) free_slots_.push_back(event.connection);
  return host;
}

void Workload::write_head(const Host& host, Kind kind, Vantage vantage, TimeNs time, Record& record) {
  record.set(Field::kKind, kind);
  record.set(Field::kTime, time + static_cast<uint64_t>(host.clock_offset_ns));
  record.set(Field::kVantage, vantage);
  record.set(Field::kHost, host.name);
  if (host.synchronised) {
    record.set(Field::kClockError,
               20'000 + (host.boot ^ time >> 34) % 400'000);  // changes every 17 s, as the kernel's estimate does
  } else {
    record.set(Field::kClockState, ClockState::kNotSynchronised);
  }
}

uint32_t Workload::write_socket(const Event& event, const Connection& of, Record& record) {
  const bool inbound = event.what == What::kServerOpen || event.what == What::kServerClose;
  const bool closes = event.what == What::kClientClose || event.what == What::kServerClose;
  const bool refused = event.what == What::kRefused;
  const uint32_t index = inbound ? of.server : of.client;
  const Host& host = hosts_[index];
  const Process& process = inbound ? of.server_owner : of.client_owner;
  const uint64_t offset = static_cast<uint64_t>(host.clock_offset_ns);
  const Kind kind = refused ? Kind::kFailed : closes ? Kind::kClose : Kind::kOpen;
  write_head(host, kind, Vantage::kSocket, closes || refused ? of.end : of.start, record);
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kDirection, inbound ? Direction::kIn : Direction::kOut);
  record.set(Field::kSrcIp, Field::kSrcPort, of.source);
  record.set(Field::kDstIp, Field::kDstPort, of.destination);
  record.set(Field::kNat, Nat::kNone);
  Id128 conn;
  store_big(conn.data(), host.boot);
  store_big(conn.data() + 8, inbound ? of.server_cookie : of.client_cookie);
  record.set(Field::kConn, conn);
  record.set(Field::kNetns, 4026531840);
  record.set(Field::kPid, process.pid);
  record.set(Field::kProcessStart, process.start);
  record.set(Field::kExe, kPrograms[process.program]);
  record.set(Field::kUid, process.uid);
  record.set(Field::kRole, inbound ? Role::kListener : Role::kCreator);
  if (refused) {
    record.set(Field::kOutcome, Outcome::kRefused);
    record.set(Field::kErrno, 111);
  }
  if (!closes) return index;
  record.set(Field::kOutcome, Outcome::kOk);
  record.set(Field::kStart, of.start + offset);
  record.set(Field::kEnd, of.end + offset);
  record.set(Field::kBytesOut, inbound ? of.bytes_in : of.bytes_out);
  record.set(Field::kBytesIn, inbound ? of.bytes_out : of.bytes_in);
  record.set(Field::kPacketsOut, 3 + (inbound ? of.bytes_in : of.bytes_out) / 1400);
  record.set(Field::kPacketsIn, 3 + (inbound ? of.bytes_out : of.bytes_in) / 1400);
  record.set(Field::kRtt, 40'000 + (of.start >> 3) % 2'000'000);
  return index;
}

uint32_t Workload::write_lease(const Event& event, const Connection& of, Record& record) {
  const bool closes = event.what == What::kLeaseClose;
  const Host& gateway = hosts_.back();
  const TimeNs end = of.end + kLeaseRestSeconds * kSecond;
  write_head(gateway, closes ? Kind::kNatClose : Kind::kNatOpen, Vantage::kNat, closes ? end : of.start + 90'000, record);
  const uint64_t offset = static_cast<uint64_t>(gateway.clock_offset_ns);
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kSrcIp, Field::kSrcPort, of.source);
  record.set(Field::kDstIp, Field::kDstPort, of.destination);
  record.set(Field::kNat, Nat::kTranslated);
  record.set(Field::kSrcNatIp, Field::kSrcNatPort, of.translated);
  record.set(Field::kDstNatIp, Field::kDstNatPort, of.destination);
  Id128 conn;
  store_big(conn.data(), gateway.boot);
  store_big(conn.data() + 8, uint64_t{of.lease});
  record.set(Field::kConn, conn);
  record.set(Field::kNetns, 4026531840);
  record.set(Field::kConntrackId, of.lease);
  record.set(Field::kStart, of.start + 90'000 + offset);
  if (!closes) return options_.hosts;
  record.set(Field::kEnd, end + offset);
  record.set(Field::kBytesOut, of.bytes_out);
  record.set(Field::kBytesIn, of.bytes_in);
  return options_.hosts;
}

void Workload::write_process(const Host& host, const Process& process, Record& record) {
  write_head(host, Kind::kProcess, Vantage::kSocket, next_arrival_, record);
  record.set(Field::kPid, process.pid);
  record.set(Field::kProcessStart, process.start);
  record.set(Field::kPpid, 1);
  record.set(Field::kExe, kPrograms[process.program]);
  record.set(Field::kCmdline, fmt::format("{} --worker {}", kPrograms[process.program], process.pid % 16));
  record.set(Field::kUid, process.uid);
  record.set(Field::kUser, process.uid == 33 ? std::string("www-data") : fmt::format("user{}", process.uid));
  record.set(Field::kCwd, "/srv");
}

}  // namespace portbook
