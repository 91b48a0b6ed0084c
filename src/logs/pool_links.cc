#include "logs/pool_links.h"

#include <fmt/format.h>

#include <utility>

#include "sources/named_values.h"

namespace portbook {

namespace {

constexpr std::string_view kSession = "session";

void set_leg(const std::optional<Endpoint>& endpoint, Field ip, Field port, Record& record) {
  if (endpoint) record.set(ip, port, *endpoint);
}

std::string number_text(uint64_t number) {
  return number == 0 ? std::string() : std::to_string(number);
}

}  // namespace

void PoolLinks::take(const PoolSample& sample, const Emit& emit) {
  linked_ = 0;
  without_ports_ = 0;
  std::map<Name, Link> lasting;
  for (const auto& [ptr, client] : sample.clients.legs()) {
    if (client.link.empty()) continue;
    const auto before = sample.servers_before.legs().find(client.link);
    const auto after = sample.servers_after.legs().find(client.link);
    const bool is_known = before != sample.servers_before.legs().end() && after != sample.servers_after.legs().end() &&
                          before->second.same_as(after->second);
    if (!is_known) continue;  // it came or went just now
    const PoolLeg& server = after->second;
    ++linked_;
    if (!client.peer && !server.own) {
      ++without_ports_;
      continue;
    }
    Link link{client, server, sample.time, sample.time, sample.clock_error_ns};
    const std::string_view mode = sample.modes.of(server);
    if (mode != kSession) {
      make(link, mode, sample.time);
      record_.set(Field::kEnd, sample.time);
      emit(record_);
      continue;
    }
    Name name{client.ptr, client.connected, client.peer, server.ptr, server.connected, server.own};
    if (const auto known = lasting_.find(name); known != lasting_.end()) {
      link.first = known->second.first;
      lasting_.erase(known);
    } else {
      make(link, mode, sample.time);
      emit(record_);
    }
    lasting.emplace(std::move(name), std::move(link));
  }
  for (const auto& [name, link] : lasting_) {
    const auto client = sample.clients.legs().find(link.client.ptr);
    const bool is_there = client != sample.clients.legs().end() && client->second.same_as(link.client);
    end(link, is_there ? "the client was not linked to it any more" : "the client was gone", emit);
  }
  lasting_ = std::move(lasting);
}

void PoolLinks::end(std::string_view cause, const Emit& emit) {
  for (const auto& [name, link] : std::exchange(lasting_, {})) end(link, cause, emit);
  linked_ = 0;
  without_ports_ = 0;
}

void PoolLinks::end(const Link& link, std::string_view cause, const Emit& emit) {
  make(link, kSession, link.last);
  record_.set(Field::kEnd, link.last);
  record_.set(Field::kCause, cause);
  emit(record_);
}

void PoolLinks::make(const Link& link, std::string_view mode, TimeNs time) {
  record_.clear();
  record_.set(Field::kKind, Kind::kProxy);
  record_.set(Field::kVantage, Vantage::kProxy);
  record_.set(Field::kTime, time);
  record_.set(Field::kHost, std::string_view(host_));
  record_.set(Field::kProto, Proto::kTcp);
  record_.set(Field::kApp, kPoolConsole);
  record_.set(Field::kStart, link.first);
  if (link.clock_error_ns) {
    record_.set(Field::kClockError, *link.clock_error_ns);
  } else {
    record_.set(Field::kClockState, ClockState::kNotSynchronised);
  }
  set_leg(link.client.peer, Field::kSrcIp, Field::kSrcPort, record_);
  set_leg(link.client.own, Field::kDstIp, Field::kDstPort, record_);
  set_leg(link.server.own, Field::kUpSrcIp, Field::kUpSrcPort, record_);
  set_leg(link.server.peer, Field::kUpDstIp, Field::kUpDstPort, record_);
  const std::string client = "C-" + link.client.ptr;  // as its log names it
  const std::string server = "S-" + link.server.ptr;
  const std::string backend = number_text(link.server.peer_pid);
  const std::string client_pid = link.client.peer ? std::string() : number_text(link.client.peer_pid);
  NamedValues values;
  values.add("user", link.client.user);
  values.add("client", client);
  values.add("server", server);
  values.add("backend", backend);
  values.add("database", link.client.database);
  values.add("pool_mode", mode);
  values.add("client_pid", client_pid);
  values.add("application", link.client.application);
  values.set_on(record_);
}

}  // namespace portbook
