// The thread that watches every network namespace: connection tracking and addresses.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "capture/addresses.h"
#include "capture/boot_clock.h"
#include "capture/leases.h"
#include "capture/nat_table.h"
#include "capture/netlink_socket.h"
#include "capture/outbox.h"
#include "capture/report.h"
#include "privilege/operations.h"

namespace portbook {

// Everything passed in outlives it. start(), then stop(); report() from any thread.
class NetworkWatcher {
 public:
  // `conntrack_receive_bytes`: what the kernel may hold of each namespace's messages until they are read.
  NetworkWatcher(Operations& operations, uint64_t host_boot, int conntrack_receive_bytes, NatTable& nat, Stream& leases,
                 Stream& addresses, Clock& clock);
  ~NetworkWatcher();
  NetworkWatcher(const NetworkWatcher&) = delete;

  // Finds the namespaces and has read the tables of all of them when it returns, then watches on a thread.
  void start();
  void stop();
  [[nodiscard]] CaptureReport report() const;

 private:
  struct Namespace;

  void run();
  void find_namespaces();
  void tell_of_unwatched(const std::map<uint32_t, uint64_t>& noticed);
  void watch(uint32_t netns);
  Status open_sockets(Namespace& watched);
  void drop(uint32_t netns, Namespace& watched);
  // True when something was read.
  bool read_all();
  // True when its socket was empty at the end.
  bool read_conntrack(Namespace& watched);
  void read_addresses(Namespace& watched);
  void dump_conntrack(Namespace& watched, bool initial);
  void dump_addresses(Namespace& watched);
  void write_gap(Stream& stream, uint32_t netns, TimeNs from, std::string_view cause);
  void second();
  void publish_report();

  Operations& operations_;
  const uint64_t host_boot_;
  const int conntrack_receive_bytes_;
  NatTable& nat_;
  Stream& leases_;
  Stream& addresses_;
  Clock& clock_;
  BootClock boot_clock_;
  NetlinkBuffers buffers_;
  std::map<uint32_t, std::unique_ptr<Namespace>> namespaces_;
  std::vector<uint32_t> behind_;  // whose conntrack socket the last pass did not empty
  uint32_t next_seq_ = 1;
  TimeNs known_until_ = 0;  // what happened until then was read
  uint64_t next_second_ = 0;
  uint64_t next_search_ = 0;
  uint64_t next_search_for_unknown_ = 0;
  TimeNs searched_at_ = 0;  // when the last search began
  uint64_t search_again_until_ = 0;
  std::string settings_missing_;
  int stop_fd_ = -1;
  int names_fd_ = -1;  // inotify on /run/netns
  std::atomic<bool> stopping_ = false;
  mutable std::mutex report_mutex_;
  CaptureReport report_;
  std::thread thread_;
};

}  // namespace portbook
