#include "capture/reader.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

namespace portbook {

namespace {

// The kernel side never wakes the reader: it looks this often, and less often while nothing happens.
constexpr int kBusyPollMs = 4;
constexpr int kIdlePollMs = 10;
constexpr uint32_t kPassesUntilIdle = 100;
// Per pass, so that timers and stop() are served under any load.
constexpr size_t kSocketEventsPerPass = 16'384;
constexpr size_t kDatagramEventsPerPass = 16'384;
constexpr size_t kProcessEventsPerPass = 65'536;
constexpr size_t kHeldMax = 2 * (kSocketEventsPerPass + kDatagramEventsPerPass);
constexpr int kPassesInARow = 8;
constexpr uint64_t kTellEveryNs = 10 * kNsPerMs;
// A program reads the clock a moment before it gives out the event's number; its processor may be taken away between.
constexpr uint64_t kStampNs = 5 * kNsPerMs;
constexpr uint64_t kSweepEveryNs = 300 * kNsPerSecond;
constexpr uint64_t kIdleSweepEveryNs = 5 * kNsPerSecond;
constexpr std::string_view kEndLost = "its end was lost; it was gone when the kernel was asked";
// Against a ring that is filled as fast as it is emptied.
constexpr int kSweepPassesMax = 256;
constexpr auto kAllKinds = std::to_array({EventKind::kSocket, EventKind::kDatagram, EventKind::kProcess});
// By EventKind.
constexpr std::array<std::string_view, kEventKinds> kLossCauses = {
    "the rings for socket events were full", "the rings for UDP events were full",
    "the ring for process events was full: some owners may lack program and arguments"};
// A millisecond each.
constexpr int kLastLooksMax = 250;
// A timer so far away that it only ever ends because the clock was set.
constexpr time_t kFarSeconds = 100L * 365 * 24 * 3600;

int clock_change_timer() {
  const int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  return fd;
}

void arm_clock_change_timer(int fd) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  itimerspec far{};
  far.it_value.tv_sec = now.tv_sec + kFarSeconds;
  timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, nullptr);
}

}  // namespace

Reader::Reader(const ReaderOptions& options, Operations& operations, KernelPrograms* programs, const NatTable& nat, Stream& stream,
               Clock& clock)
    : operations_(operations),
      programs_(programs),
      nat_(nat),
      peer_idle_ns_(options.peer_idle_ns),
      stream_(stream),
      clock_(clock),
      boot_clock_(clock),
      proc_(make_proc_reader(operations, options.with_cmdline)),
      containers_([&operations](std::string_view path) { return operations.open_runtime_file(path); }),
      processes_(boot_clock_, cgroups_, *proc_, options.with_cmdline),
      sockets_(options.host_boot, boot_clock_, processes_, nat, [this](Record& record) { stream_.add(record); }),
      stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      clock_fd_(clock_change_timer()) {
  processes_.name_containers(containers_);
  const ClockDiscipline discipline = read_clock_discipline();
  boot_clock_.sample(discipline);
  synchronised_ = discipline.synchronised;
  write_clock({});
  arm_clock_change_timer(clock_fd_);
  cgroups_.scan(options.cgroups);
  if (programs_ == nullptr) return;
  const uint64_t now = clock_.boot_ns();
  for (const EventKind kind : kAllKinds) losses_.emplace_back(programs_->counts(kind).given.size(), now);
  datagrams_.emplace(options.host_boot, boot_clock_, processes_, nat, *programs_, [this](Record& record) {
    if (record.kind() == Kind::kGap) record.set(Field::kAbout, std::string_view(stream_.source()));
    stream_.add(record);
  });
}

Reader::~Reader() {
  stop();
  close(stop_fd_);
  close(clock_fd_);
}

std::vector<std::string> Reader::take_snapshot() {
  if (programs_ == nullptr) return {};
  compared_until_ = clock_.boot_ns();
  std::vector<std::string> missing;
  list_processes(missing);
  std::ranges::move(list_what_is_there(), std::back_inserter(missing));
  // In one batch with source_start: nobody may read "captured since" and not find what was there.
  sockets_.settle_all();
  datagrams_->settle_all();
  stream_.flush();
  return missing;
}

void Reader::start() {
  const uint64_t now = clock_.boot_ns();
  next_second_ = now;
  next_sweep_ = now + kSweepEveryNs;
  next_comparison_ = now + kCompareEveryNs;
  next_glance_ = now;
  attached_until_ = now;
  thread_ = std::thread([this] { run(); });
}

void Reader::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  eventfd_write(stop_fd_, 1);
  thread_.join();
}

void Reader::run() {
  uint32_t quiet_passes = 0;
  while (true) {
    const bool last = stopping_.load();
    const uint64_t before = events_.load(std::memory_order_relaxed);
    passes_.fetch_add(1, std::memory_order_relaxed);
    watch_clocks();
    if (!stream_.crowded() || last) {
      for (int passes = 0; !pass() && passes < kPassesInARow && !stream_.crowded(); ++passes) stream_.flush();
    }
    if (programs_ != nullptr) look_for_losses();
    write_losses(false);
    const uint64_t now = clock_.boot_ns();
    sockets_.settle(now);
    if (datagrams_) datagrams_->settle(now);
    if (now >= next_second_) second();
    if (last) finish();
    if (last || now >= next_tell_) tell();
    stream_.flush();
    if (last) return;
    quiet_passes = events_.load(std::memory_order_relaxed) == before ? quiet_passes + 1 : 0;
    std::array<pollfd, 2> waits = {pollfd{stop_fd_, POLLIN, 0}, pollfd{clock_fd_, POLLIN, 0}};
    poll(waits.data(), waits.size(), quiet_passes > kPassesUntilIdle ? kIdlePollMs : kBusyPollMs);
    if (waits[1].revents != 0) {
      uint64_t expirations = 0;
      // ECANCELED: the clock was set. Sampled at once, so that the history has the moment within milliseconds.
      if (read(clock_fd_, &expirations, sizeof expirations) < 0 && errno == ECANCELED) sample_clock();
      arm_clock_change_timer(clock_fd_);
    }
  }
}

bool Reader::take_processes() {
  uint64_t taken = 0;
  ProcessEventData event;
  const bool whole = programs_->drain_processes(kProcessEventsPerPass, [&](std::string_view bytes) {
    if (!decode_process_event(bytes, event)) return;
    watch(EventKind::kProcess).received(event.head.cpu, event.head.seq);
    if (event.head.netns != noticed_netns_) nat_.notice(noticed_netns_ = event.head.netns, event.head.time);
    processes_until_ = std::max(processes_until_, uint64_t{event.head.time});
    processes_.apply(event);
    ++taken;
  });
  events_.fetch_add(taken, std::memory_order_relaxed);
  return whole;
}

// Also while the rings are left alone, because the book is behind: a loss is then known to the millisecond.
void Reader::look_for_losses() {
  const uint64_t now = clock_.boot_ns();
  for (const EventKind kind : kAllKinds) {
    const auto counts = programs_->counts(kind);
    watch(kind).look(counts.given, counts.lost, programs_->totals(kind).parked, now);
  }
}

void Reader::write_losses(bool any) {
  for (const EventKind kind : kAllKinds) {
    if (losses_.empty()) return;
    const auto loss = watch(kind).take(any);
    if (!loss) continue;
    lost_.fetch_add(loss->count, std::memory_order_relaxed);
    write_gap(*loss, kLossCauses[static_cast<size_t>(kind)]);
  }
}

bool Reader::pass() {
  if (programs_ == nullptr) return true;
  look_for_losses();
  // Sockets are taken before processes: what a process did before it used a socket is then in the other ring for sure.
  const size_t waiting = held_sockets_.size() + held_datagrams_.size();
  const bool sockets_whole = programs_->drain_sockets(kSocketEventsPerPass, [&](const pb_socket_event& event) {
    held_sockets_.push_back(event);
    watch(EventKind::kSocket).received(event.cpu, event.seq);
  });
  const bool datagrams_whole = programs_->drain_datagrams(kDatagramEventsPerPass, [&](const pb_datagram_event& event) {
    held_datagrams_.push_back(event);
    watch(EventKind::kDatagram).received(event.cpu, event.seq);
  });
  const size_t held = held_sockets_.size() + held_datagrams_.size();
  events_.fetch_add(held - waiting, std::memory_order_relaxed);
  const bool processes_whole = take_processes();
  // An event of a process whose beginning is on its way yet waits for it; but no flood of processes holds up all others.
  apply_held(processes_whole || held > kHeldMax ? UINT64_MAX : processes_until_);
  open_.store(sockets_.open_connections() + datagrams_->open_flows(), std::memory_order_relaxed);
  if (sockets_whole) watch(EventKind::kSocket).emptied();
  if (datagrams_whole) watch(EventKind::kDatagram).emptied();
  if (processes_whole) watch(EventKind::kProcess).emptied();
  return sockets_whole && datagrams_whole && processes_whole;
}

// Takes all that the programs had begun to write when it was called; false when they write as fast as it is taken.
bool Reader::catch_up() {
  for (int passes = 0; passes < kSweepPassesMax; ++passes) {
    const bool whole = pass();
    stream_.flush();
    if (whole) return true;
  }
  return false;
}

void Reader::tell() {
  next_tell_ = clock_.boot_ns() + kTellEveryNs;
  // The programs went with the helper: nobody knows what happens since.
  if (operations_.lost()) return;
  uint64_t until = clock_.boot_ns();
  for (const LossWatch& one : losses_) until = std::min(until, one.known_until());
  for (const pb_socket_event& event : held_sockets_) until = std::min(until, uint64_t{event.time});
  for (const pb_datagram_event& event : held_datagrams_) until = std::min(until, uint64_t{event.time});
  until = std::min(until, sockets_.waiting_since().value_or(until));
  if (datagrams_) until = std::min(until, datagrams_->waiting_since().value_or(until));
  stream_.told(boot_clock_.utc(until - std::min(until, kStampNs)));
}

// Both rings' events in the order of time.
void Reader::apply_held(uint64_t until_boot_ns) {
  size_t sockets_kept = 0;
  size_t datagrams_kept = 0;
  size_t next = 0;
  const auto apply_datagrams_until = [&](uint64_t time_boot_ns) {
    for (; next < held_datagrams_.size() && held_datagrams_[next].time <= time_boot_ns; ++next) {
      if (held_datagrams_[next].time <= until_boot_ns) {
        datagrams_->apply(held_datagrams_[next]);
      } else {
        held_datagrams_[datagrams_kept++] = held_datagrams_[next];
      }
    }
  };
  for (const pb_socket_event& event : held_sockets_) {
    apply_datagrams_until(event.time);
    if (event.time <= until_boot_ns) {
      sockets_.apply(event);
    } else {
      held_sockets_[sockets_kept++] = event;
    }
  }
  apply_datagrams_until(UINT64_MAX);
  held_sockets_.resize(sockets_kept);
  held_datagrams_.resize(datagrams_kept);
}

// The kernel says which connections are alive; those whose opening found the ring full are opened now.
void Reader::sweep(std::span<const uint64_t> unknown) {
  watch(EventKind::kSocket).sweep_begins();
  std::vector<pb_socket_event> found;
  sockets_.begin_sweep(clock_.boot_ns());
  const Status listed = programs_->list_alive([&](const pb_socket_event& one) { found.push_back(one); });
  take_processes();
  for (const pb_socket_event& one : found) sockets_.apply(one);
  // The rings hold the ends of what ended before and while the kernel was asked.
  if (!catch_up() || !listed.has_value()) {
    watch(EventKind::kSocket).want_sweep();
    return;
  }
  // The kernel's list shifts while sockets come and go, so that it may lack one that is alive: what is missing is asked for again.
  for (int times = 0; times < kConfirmations && sockets_.has_unswept(); ++times) {
    std::vector<pb_socket_event> again;
    if (!programs_->list_alive([&](const pb_socket_event& one) { again.push_back(one); }).has_value()) {
      watch(EventKind::kSocket).want_sweep();
      return;
    }
    for (const pb_socket_event& one : again) sockets_.apply(one);
  }
  for (const pb_socket_event& one : found) {
    if (one.type == PB_ALIVE && std::ranges::binary_search(unknown, one.cookie)) sockets_.adopt(one);
  }
  sockets_.end_sweep(clock_.boot_ns(), kEndLost);
  watch(EventKind::kSocket).swept();
}

void Reader::sweep_datagrams(bool all) {
  const uint64_t now = clock_.boot_ns();
  const bool crowded = datagrams_->crowded();
  next_idle_sweep_ = crowded ? now : now + std::min(kIdleSweepEveryNs, peer_idle_ns_ / 2);
  const uint64_t idle_ns = crowded ? std::min(kPeerIdleCrowdedNs, peer_idle_ns_) : peer_idle_ns_;
  std::vector<pb_datagram_event> found;
  if (all) watch(EventKind::kDatagram).sweep_begins();
  if (all) datagrams_->begin_sweep(now);
  const bool with_map = all || datagrams_->peers_in_map() > 0;
  const Status listed = programs_->sweep_peers(now > idle_ns ? now - idle_ns : 0, with_map, all,
                                               [&](const pb_datagram_event& one) { found.push_back(one); });
  take_processes();
  // What is owed its open may have its end in the ring; what is idle may have its open there.
  for (const pb_datagram_event& one : found) {
    if (one.type != PB_PEER_IDLE) datagrams_->apply(one);
  }
  const bool whole = catch_up();
  // One of the map stays there until it is told of again: its open may be in the ring still.
  for (const pb_datagram_event& one : found) {
    if (one.type == PB_PEER_IDLE && (whole || (one.flags & PB_PEER_IN_MAP) == 0)) datagrams_->apply(one);
  }
  if (!all) return;
  if (!whole || !listed.has_value() || !confirm_datagrams()) {
    watch(EventKind::kDatagram).want_sweep();
    return;
  }
  datagrams_->end_sweep(clock_.boot_ns(), kEndLost);
  watch(EventKind::kDatagram).swept();
}

// The kernel's lists shift while sockets and peers come and go, so that they may lack one that is alive: what is missing is asked
// for again. False when the kernel cannot be asked.
bool Reader::confirm_datagrams() {
  for (int times = 0; times < kConfirmations && datagrams_->has_unswept(); ++times) {
    std::vector<pb_datagram_event> again;
    if (!programs_->sweep_peers(0, true, true, [&](const pb_datagram_event& one) { again.push_back(one); }).has_value())
      return false;
    for (const pb_datagram_event& one : again) datagrams_->apply(one);
  }
  return true;
}

// What is found out about losses, and what is held back, before capture ends.
void Reader::finish() {
  if (programs_ != nullptr) {
    look_for_losses();
    write_losses(true);
    if (watch(EventKind::kSocket).sweep_wanted()) sweep();
    if (watch(EventKind::kDatagram).sweep_wanted()) sweep_datagrams(true);
    apply_held(UINT64_MAX);
    write_losses(true);
  }
  // The last packets' translations are on their way.
  const auto waits = [&] { return sockets_.waits() || (datagrams_ && datagrams_->waits()); };
  for (int times = 0; times < kLastLooksMax && waits(); ++times) {
    poll(nullptr, 0, 1);
    const uint64_t now = clock_.boot_ns();
    sockets_.settle(now);
    if (datagrams_) datagrams_->settle(now);
  }
  sockets_.settle_all();
  if (datagrams_) datagrams_->settle_all();
}

void Reader::second() {
  const uint64_t now = clock_.boot_ns();
  next_second_ = now + kNsPerSecond;
  sample_clock();
  processes_.forget_old(now);
  process_count_.store(processes_.count(), std::memory_order_relaxed);
  if (programs_ == nullptr) return;
  // Its end detaches the programs.
  if (operations_.lost() && !detached_.exchange(true)) {
    write_gap({0, attached_until_, now}, "the privileged helper is gone; nothing is captured until capture begins anew", false);
  }
  // What a sweep finds must have somewhere to go.
  if (!stream_.crowded()) sweep_what_is_due(now);
  check_programs(now);
  if (now >= next_glance_ && !stream_.crowded()) glance(now);
  if (now >= next_comparison_ && !stream_.crowded()) compare(now);
}

void Reader::sweep_what_is_due(uint64_t now) {
  const bool all = now >= next_sweep_;
  if (all) next_sweep_ = now + kSweepEveryNs;
  if (watch(EventKind::kProcess).sweep_wanted()) {
    std::vector<std::string> missing;
    watch(EventKind::kProcess).sweep_begins();
    list_processes(missing);
  }
  if (watch(EventKind::kSocket).sweep_wanted() || all) sweep();
  if (watch(EventKind::kDatagram).sweep_wanted() || all) {
    sweep_datagrams(true);
  } else if (now >= next_idle_sweep_) {
    sweep_datagrams(false);
  }
}

void Reader::sample_clock() {
  const ClockDiscipline discipline = read_clock_discipline();
  synchronised_ = discipline.synchronised;
  if (const auto change = boot_clock_.sample(discipline)) write_clock(*change);
}

void Reader::write_gap(const Loss& loss, std::string_view cause, bool ended) {
  Record record;
  record.set(Field::kKind, Kind::kGap);
  record.set(Field::kTime, boot_clock_.utc(loss.to_boot_ns));
  record.set(Field::kVantage, Vantage::kSocket);
  record.set(Field::kStart, boot_clock_.utc(loss.from_boot_ns));
  if (ended) record.set(Field::kEnd, boot_clock_.utc(loss.to_boot_ns));
  if (loss.count > 0) record.set(Field::kCount, loss.count);
  record.set(Field::kCause, cause);
  record.set(Field::kAbout, std::string_view(stream_.source()));
  boot_clock_.put_quality(record);
  stream_.add(record);
}

void Reader::write_clock(const BootClock::Change& change) {
  Record record;
  boot_clock_.put_state(change, record);
  stream_.add(record);
}

void Reader::fill(CaptureStatistics& statistics) const {
  statistics.events = events_.load();
  statistics.lost_events = lost_.load();
  statistics.passes = passes_.load();
  statistics.open_connections = open_.load();
  statistics.processes = process_count_.load();
  if (programs_ != nullptr) {
    const KernelPrograms::Totals totals = programs_->totals(EventKind::kSocket);
    const KernelPrograms::Totals datagrams = programs_->totals(EventKind::kDatagram);
    statistics.parked_opens = totals.parked + datagrams.parked;
    statistics.unnamed_uses = totals.unnamed + datagrams.unnamed;
  }
}

}  // namespace portbook
