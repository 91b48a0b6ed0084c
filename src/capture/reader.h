// The thread that empties the kernel's rings and keeps the tables of processes and connections.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "capture/boot_clock.h"
#include "capture/datagrams.h"
#include "capture/kernel_programs.h"
#include "capture/loss_watch.h"
#include "capture/nat_table.h"
#include "capture/outbox.h"
#include "capture/processes.h"
#include "capture/sockets.h"

namespace portbook {

struct ReaderOptions {
  uint64_t host_boot = 0;
  bool with_cmdline = true;
  uint64_t peer_idle_ns = 0;
  CgroupMounts cgroups;
};

// How often the kernel is asked which connections are open.
inline constexpr uint64_t kCompareEveryNs = 60 * kNsPerSecond;

// How often what a list of the kernel lacks is asked for before it counts as gone.
inline constexpr int kConfirmations = 8;

// Everything passed in outlives it. take_snapshot(), then start(), then stop(); counters from any thread.
class Reader {
 public:
  // `programs` may be null: then only the clock is watched.
  Reader(const ReaderOptions& options, Operations& operations, KernelPrograms* programs, const NatTable& nat, Stream& stream,
         Clock& clock);
  ~Reader();
  Reader(const Reader&) = delete;

  // What was there before the programs: processes, then sockets of every namespace. Returns what could not be had, one sentence
  // each.
  std::vector<std::string> take_snapshot();
  void start();
  // Empties the rings once more and writes what waits. Once.
  void stop();

  void fill(CaptureStatistics& statistics) const;
  // Somebody detached a program, and it could not be attached again so far.
  [[nodiscard]] bool programs_detached() const { return detached_.load(); }

  // What the kernel said of its open TCP connections when it was last asked, beside what was written of them.
  struct Comparison {
    uint64_t open = 0;         // in the kernel
    uint64_t known = 0;        // of these
    uint64_t differences = 0;  // since capture began, of either side; each is mended and in a gap
    uint64_t at_boot_ns = 0;
  };
  // Nothing before the first comparison. From any thread.
  [[nodiscard]] std::optional<Comparison> comparison() const;
  // Written by the reader's thread: what the kernel thinks of its clock.
  [[nodiscard]] bool clock_synchronised() const { return synchronised_.load(); }

 private:
  void run();
  // Takes what the rings hold; true when all that the programs had begun to write was taken.
  bool pass();
  // True when nothing of its ring is on its way; else what happened after `processes_until_` may be missing.
  bool take_processes();
  void look_for_losses();
  void write_losses(bool any);
  bool catch_up();
  void finish();
  // Says up to when this source has told everything.
  void tell();
  LossWatch& watch(EventKind kind) { return losses_[static_cast<size_t>(kind)]; }
  // Also adopts those of `unknown` (sorted) that are still alive and not known after all.
  void sweep(std::span<const uint64_t> unknown = {});
  // Ends idle peers; `all`: as sweep(), of UDP.
  void sweep_datagrams(bool all);
  bool confirm_datagrams();
  void sweep_what_is_due(uint64_t now);
  // Up to that moment; the rest stays.
  void apply_held(uint64_t until_boot_ns);
  void second();
  // Sockets and processes as the kernel has them now, those included that no program saw begin. Returns what could not be had.
  std::vector<std::string> list_what_is_there();
  void list_processes(std::vector<std::string>& missing);
  void snapshot_again(uint64_t untold_from_boot_ns);
  void check_programs(uint64_t now);
  void compare(uint64_t now);
  std::optional<std::vector<uint64_t>> find_unknown(const std::vector<uint64_t>& alive);
  std::optional<std::vector<uint64_t>> find_gone(const std::vector<uint64_t>& alive, uint64_t now);
  void glance(uint64_t now);
  void write_comparison(const Comparison& comparison);
  void watch_clocks();
  void sample_clock();
  void write_gap(const Loss& loss, std::string_view cause, bool ended = true);  // not ended: it goes on until capture begins anew
  void write_clock(const BootClock::Change& change);

  Operations& operations_;
  KernelPrograms* const programs_;
  const NatTable& nat_;
  const uint64_t peer_idle_ns_;
  Stream& stream_;
  Clock& clock_;
  BootClock boot_clock_;
  Cgroups cgroups_;
  std::unique_ptr<ProcReader> proc_;
  ContainerNames containers_;
  Processes processes_;
  Sockets sockets_;
  std::optional<Datagrams> datagrams_;  // where there are programs
  std::vector<LossWatch> losses_;       // likewise, by EventKind

  std::vector<pb_socket_event> held_sockets_;
  std::vector<pb_datagram_event> held_datagrams_;
  uint32_t noticed_netns_ = 0;  // the last one
  uint64_t processes_until_ = 0;
  uint64_t next_second_ = 0;
  uint64_t next_tell_ = 0;
  uint64_t next_sweep_ = 0;
  uint64_t next_idle_sweep_ = 0;
  uint64_t attached_until_ = 0;  // all programs were, then
  std::string detached_cause_;
  size_t found_unseen_ = 0;  // TCP sockets in the last listing
  uint64_t next_comparison_ = 0;
  uint64_t next_glance_ = 0;
  uint64_t compared_until_ = 0;  // when the last one without a difference began, or the snapshot
  uint64_t next_told_ = 0;       // the comparison's record
  mutable std::mutex comparison_mutex_;
  std::optional<Comparison> comparison_;
  int64_t asleep_ns_ = 0;  // so far
  uint64_t awake_at_ = 0;  // it was this then

  std::atomic<uint64_t> events_ = 0;
  std::atomic<uint64_t> lost_ = 0;
  std::atomic<uint64_t> passes_ = 0;
  std::atomic<uint64_t> open_ = 0;
  std::atomic<uint64_t> process_count_ = 0;
  std::atomic<bool> detached_ = false;
  std::atomic<bool> synchronised_ = false;
  std::atomic<bool> stopping_ = false;
  int stop_fd_ = -1;
  int clock_fd_ = -1;
  std::thread thread_;
};

}  // namespace portbook
