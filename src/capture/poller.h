// The thread that looks at the sockets of this host again and again, where no kernel program can tell of them as they come and go.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "capture/boot_clock.h"
#include "capture/outbox.h"
#include "capture/polled_processes.h"
#include "capture/polled_sockets.h"
#include "capture/report.h"
#include "capture/socket_lister.h"

namespace portbook {

struct PollerOptions {
  uint64_t host_boot = 0;
  bool with_cmdline = true;
  CgroupMounts cgroups;
};

// How long to wait until the next look, so that looking takes no more than a twentieth of a core: at least 100 ms, at least 250 ms
// while nothing happens.
uint64_t poll_interval_ns(uint64_t look_took_ns, bool quiet);

// Everything passed in outlives it. start(), then stop(); report() and fill() from any thread.
class Poller {
 public:
  Poller(const PollerOptions& options, Operations& operations, const NatTable& nat, Stream& stream, Clock& clock);
  ~Poller();
  Poller(const Poller&) = delete;

  // Has looked once at every namespace when it returns, then looks on a thread.
  void start();
  // Looks once more and writes what that shows.
  void stop();

  [[nodiscard]] CaptureReport report() const;
  void fill(CaptureStatistics& statistics) const;
  [[nodiscard]] bool clock_synchronised() const { return synchronised_.load(); }

 private:
  struct Namespace {
    std::optional<SocketLister> lister;
    TimeNs notices_whole_until = 0;
    TimeNs lists_whole_until = 0;  // up to here its sockets were looked at, or a gap says that they were not
    uint32_t unseen = 0;           // searches that did not find it
    std::string trouble;
  };

  void run();
  void look();
  void look_at(uint32_t netns, Namespace& space);
  void read_notices();
  void open_lister(uint32_t netns, uint64_t nothing_before_boot_ns, Namespace& space);
  void find_namespaces();
  void second();
  void sample_clock();
  // Until the next look is due, the clock was set, or it shall stop; notices are read as they come, some at a time.
  void wait();
  void write_gap(TimeNs from, uint32_t netns, std::string_view cause);
  void publish_report();

  Operations& operations_;
  Stream& stream_;
  Clock& clock_;
  BootClock boot_clock_;
  Cgroups cgroups_;
  std::unique_ptr<ProcReader> proc_;
  ContainerNames containers_;
  Processes processes_;
  PolledProcesses owners_;
  PolledSockets sockets_;
  NetlinkBuffers buffers_;
  std::vector<SocketMessage> listed_;
  std::map<uint32_t, Namespace> namespaces_;
  uint64_t searched_ = 0;  // boot time at which the last search for namespaces began; 0: none did
  uint64_t next_search_ = 0;
  uint64_t next_second_ = 0;
  uint64_t next_ended_ = 0;
  uint64_t next_look_ = 0;
  uint64_t interval_ns_ = 0;
  uint32_t quiet_looks_ = 0;
  uint64_t records_ = 0;

  std::atomic<uint64_t> looks_ = 0;
  std::atomic<uint64_t> open_ = 0;
  std::atomic<uint64_t> process_count_ = 0;
  std::atomic<bool> synchronised_ = false;
  std::atomic<bool> stopping_ = false;
  int stop_fd_ = -1;
  mutable std::mutex report_mutex_;
  CaptureReport report_;
  std::thread thread_;
};

}  // namespace portbook
