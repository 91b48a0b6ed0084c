// A made-up estate whose records are those that capture would write: open and close apart, leases as two records, processes by
// reference, ends that come late or never. The same seed gives the same records.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "record/record.h"

namespace portbook {

struct WorkloadOptions {
  uint64_t seed = 1;
  uint32_t hosts = 200;
  uint32_t connections_per_second = 500;  // of the estate's time, from 2026-11-01; says how densely intervals overlap
  uint32_t ipv6_percent = 0;              // of the connections
};

// Not thread-safe. Endless.
class Workload {
 public:
  explicit Workload(const WorkloadOptions& options);

  // Makes `record` the next one in the order in which a book would receive it. It has no source and no source_seq.
  // Returns the index of the host that wrote it; the gateway comes after the last host.
  uint32_t next(Record& record);

 private:
  static constexpr uint32_t kProcessesPerHost = 40;
  static constexpr uint32_t kPortFirst = 32'768;  // Linux's default range of ephemeral ports
  static constexpr uint32_t kPortCount = 28'232;
  static constexpr uint32_t kTableSize = 4'096;

  struct Process {
    uint32_t pid = 0;
    uint32_t program = 0;
    uint32_t uid = 0;
    TimeNs start = 0;
    bool told = false;
  };
  struct Host {
    std::string name;
    Ip v4;
    Ip v6;
    bool behind_gateway = false;
    bool synchronised = true;
    int64_t clock_offset_ns = 0;
    uint64_t boot = 0;
    uint64_t cookies = 0;
    std::array<Process, kProcessesPerHost> processes;
    std::vector<uint32_t> port_free_at;  // second of the run from which the port may be used again
  };
  struct Connection {
    uint32_t client = 0;
    uint32_t server = 0;  // kOutside: not one of the hosts
    uint16_t client_process = 0;
    uint16_t server_process = 0;
    uint64_t client_cookie = 0;
    uint64_t server_cookie = 0;
    Process client_owner;  // as it was: the slot may have a new process by the time of the close
    Process server_owner;
    Endpoint source;
    Endpoint translated;  // of a connection through the gateway
    Endpoint destination;
    TimeNs start = 0;
    TimeNs end = 0;
    uint64_t bytes_out = 0;
    uint64_t bytes_in = 0;
    uint32_t lease = 0;   // conntrack id; 0: none
    uint32_t events = 0;  // not yet told
  };
  enum class What : uint8_t { kClientOpen, kServerOpen, kLeaseOpen, kClientClose, kServerClose, kLeaseClose, kRefused };
  struct Event {
    TimeNs told = 0;
    uint64_t order = 0;
    uint32_t connection = 0;
    What what = What::kClientOpen;
    bool operator>(const Event& other) const { return told != other.told ? told > other.told : order > other.order; }
  };
  static constexpr uint32_t kOutside = UINT32_MAX;

  uint64_t below(uint64_t end) { return random_() % end; }
  bool percent(double share) { return static_cast<double>(random_() >> 11) * 0x1p-53 * 100 < share; }
  uint32_t zipf(const std::vector<uint16_t>& table) { return table[random_() % kTableSize]; }
  void make_host(uint32_t index);
  uint16_t free_port(Host& host, TimeNs until);
  Process& owner(Host& host, bool serves, uint32_t service, uint16_t& slot);
  void arrive();
  void scan(uint32_t client);
  uint32_t take_slot();
  void plan(uint32_t connection, What what, TimeNs when, bool may_be_late);
  uint32_t write(const Event& event, Record& record);
  uint32_t write_socket(const Event& event, const Connection& of, Record& record);
  uint32_t write_lease(const Event& event, const Connection& of, Record& record);
  void write_head(const Host& host, Kind kind, Vantage vantage, TimeNs time, Record& record);
  void write_process(const Host& host, const Process& process, Record& record);

  const WorkloadOptions options_;
  std::mt19937_64 random_;
  std::vector<uint16_t> host_table_;     // Zipf
  std::vector<uint16_t> service_table_;  // Zipf
  std::vector<uint64_t> duration_table_;
  std::vector<Host> hosts_;  // the gateway last
  std::vector<Connection> connections_;
  std::vector<uint32_t> free_slots_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::deque<std::pair<uint32_t, Process>> processes_to_tell_;  // host, process
  TimeNs next_arrival_;
  uint64_t order_ = 0;
  uint32_t leases_ = 0;
};

}  // namespace portbook
