#include "capture/capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <mutex>
#include <optional>

#include "base/hash.h"
#include "capture/cgroups.h"
#include "capture/kernel_programs.h"
#include "capture/nat_table.h"
#include "capture/network_watcher.h"
#include "capture/outbox.h"
#include "capture/poller.h"
#include "capture/reader.h"

namespace portbook {

namespace {

constexpr std::chrono::milliseconds kStopTimeout{5000};
constexpr std::string_view kNotRunning = "capture was not running";

std::string read_text(const char* path) {
  std::string text;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  std::array<char, 4096> part;
  for (ssize_t got = read(fd, part.data(), part.size()); got > 0; got = read(fd, part.data(), part.size())) {
    text.append(part.data(), static_cast<size_t>(got));
  }
  close(fd);
  return text;
}

// The kernel's boot id as 16 bytes; absent where /proc does not say.
std::optional<Id128> read_boot_id() {
  std::string text = read_text("/proc/sys/kernel/random/boot_id");
  std::erase_if(text, [](char c) { return c == '-' || c == '\n'; });
  Bytes bytes;
  if (!parse_hex(text, bytes) || bytes.size() != 16) return std::nullopt;
  Id128 id;
  std::ranges::copy(bytes, id.begin());
  return id;
}

uint64_t host_boot_id(const std::string& host, const std::optional<Id128>& boot) {
  const Hash hash = boot ? sha256(as_bytes(host), *boot) : sha256(as_bytes(host));
  return load_big<uint64_t>(hash.data());
}

class RunningCapture final : public Capture {
 public:
  RunningCapture(CaptureOptions options, Clock& clock)
      : privileged_(options.operations != nullptr),
        operations_(options.operations ? std::move(options.operations) : make_direct_operations()),
        options_(std::move(options)),
        clock_(clock),
        boot_(read_boot_id()),
        outbox_(options_.host, options_.sink, clock, options_.told) {}
  ~RunningCapture() override { stop(); }

  void run() {
    const CgroupMounts mounts = read_cgroup_mounts();
    const uint64_t host_boot = host_boot_id(options_.host, boot_);
    // Translations first: what sockets ask for is there when their programs begin.
    Stream& leases = open_stream("nat", "nat tcp udp", "netlink conntrack");
    Stream& addresses = open_stream("address", "address", "rtnetlink");
    network_ = std::make_unique<NetworkWatcher>(*operations_, host_boot, options_.conntrack_receive_bytes, nat_, leases, addresses,
                                                clock_);
    network_->start();
    load_programs(mounts);
    report_privileges();
    if (programs_) {
      start_reader(host_boot, mounts);
    } else {
      start_poller(host_boot, mounts);
    }
  }

  void stop() override {
    if (stopped_) return;
    stopped_ = true;
    // What comes from here on is partly written, but not promised.
    const TimeNs until = clock_.now();
    if (reader_) reader_->stop();
    if (poller_) poller_->stop();
    network_->stop();
    for (Stream* stream : streams_) {
      Record record = book_record(Kind::kSourceStop, stream->source());
      record.set(Field::kTime, until);
      stream->add(record);
    }
    outbox_.drain(kStopTimeout);
  }

  [[nodiscard]] CaptureReport report() const override {
    const std::lock_guard lock(report_mutex_);
    CaptureReport report = report_;
    if (poller_) std::ranges::move(poller_->report(), std::back_inserter(report));
    if (operations_->lost()) {
      report.push_back({"Privileges", CaptureState::kOff, "helper",
                        "The privileged helper is gone: nothing is captured until capture is started again."});
    } else if (reader_ && reader_->programs_detached()) {
      report.push_back(
          {"Kernel programs", CaptureState::kWarn, "bpf", "Somebody detached a program, and it cannot be attached again."});
    }
    if (const auto compared = reader_ ? reader_->comparison() : std::nullopt) report.push_back(describe(*compared));
    for (Capability& capability : network_->report()) report.push_back(std::move(capability));
    const bool synchronised = reader_ ? reader_->clock_synchronised() : poller_->clock_synchronised();
    report.push_back(
        {"Clock", synchronised ? CaptureState::kOk : CaptureState::kWarn, "adjtimex",
         synchronised ? "Synchronised." : "The clock is not synchronised: times carry no error bound. Run an NTP client."});
    return report;
  }

  [[nodiscard]] bool lost() const override { return operations_->lost(); }

  [[nodiscard]] CaptureStatistics statistics() const override {
    CaptureStatistics statistics;
    if (reader_) reader_->fill(statistics);
    if (poller_) poller_->fill(statistics);
    statistics.records = outbox_.records();
    statistics.batches = outbox_.batches();
    return statistics;
  }

 private:
  Capability describe(const Reader::Comparison& compared) const {
    const uint64_t age_s = (clock_.boot_ns() - std::min(clock_.boot_ns(), compared.at_boot_ns)) / kNsPerSecond;
    return {"Compared with the kernel", compared.known == compared.open ? CaptureState::kOk : CaptureState::kWarn, "bpf iterators",
            fmt::format("{} of {} open connections known, {} s ago; {} differences since capture began.", compared.known,
                        compared.open, age_s, compared.differences)};
  }
  void add_report(Capability capability) {
    const std::lock_guard lock(report_mutex_);
    report_.push_back(std::move(capability));
  }

  // Without the first hook there is nothing that the others could add to: then none is used.
  void load_programs(const CgroupMounts& mounts) {
    if (options_.without_programs) {
      say_polled("Not asked for (--no-bpf).");
      return;
    }
    auto loaded = KernelPrograms::load(*operations_, options_.programs);
    std::string reason;
    if (!loaded.has_value()) {
      reason = loaded.error().message;
    } else if ((*loaded)->attached("on_socket")) {
      programs_ = std::move(*loaded);
      report_programs(mounts);
      return;
    } else if (mounts.version2.empty()) {
      reason = "cgroup2 is not mounted (mount -t cgroup2 none /sys/fs/cgroup/unified)";
    } else {
      const auto missing = std::ranges::find((*loaded)->missing(), "on_socket", &MissingProgram::name);
      reason = missing == (*loaded)->missing().end() ? "on_socket is not loaded" : missing->reason;
    }
    if (loaded.has_value()) loaded->reset();
    operations_->unload_programs();
    if (geteuid() != 0 && !privileged_) {
      say_polled(
          "Only root may watch the kernel. As an ordinary user portbook looks at the open sockets again and again instead; "
          "\"sudo portbook up\" records every connection as it happens.");
    } else {
      say_polled(fmt::format(
          "The kernel does not let portbook watch it: {}. portbook looks at the open sockets again and again instead.", reason));
    }
  }

  void say_polled(std::string why) {
    add_report({"TCP connections as they happen", CaptureState::kOff, "bpf", std::move(why)});
    add_report(
        {"Never seen", CaptureState::kOff, "",
         "Raw and packet sockets, XDP, ICMP; with whom a UDP socket speaks that does not connect; why a connect() failed; bytes "
         "received; who made a socket that another process uses."});
    standing_gaps_.emplace_back(
        "polled: connections shorter than the poll interval may be missing or lack their process, owners of processes that may not "
        "be "
        "looked into (other users') are not seen, nor the peers of UDP sockets that do not connect");
  }

  void start_reader(uint64_t host_boot, const CgroupMounts& mounts) {
    Stream& sockets = open_stream("socket", "tcp udp process", "bpf sockops cgroup_skb tracepoints");
    reader_ = std::make_unique<Reader>(ReaderOptions{host_boot, options_.with_cmdline, options_.udp_idle_ns, mounts}, *operations_,
                                       programs_.get(), nat_, sockets, clock_);
    for (const std::string& missing : reader_->take_snapshot())
      add_report({"What was there before", CaptureState::kWarn, "bpf iterators", missing});
    reader_->start();
  }

  // A source of its own: its records say by their source that they come from polling.
  void start_poller(uint64_t host_boot, const CgroupMounts& mounts) {
    Stream& sockets = open_stream("polling", "tcp udp process", "sock_diag and /proc, polled");
    poller_ =
        std::make_unique<Poller>(PollerOptions{host_boot, options_.with_cmdline, mounts}, *operations_, nat_, sockets, clock_);
    poller_->start();
  }

  // What each part needs, and what its absence means.
  void report_programs(const CgroupMounts& mounts) {
    struct Need {
      const char* what;
      std::vector<const char*> programs;
      const char* means;
      const char* fine;
      const char* absent;
      bool is_gap;
    };
    const std::vector<Need> needs = {
        {"TCP connections",
         {"on_socket"},
         "bpf sockops on cgroup2",
         "Every namespace and container of this host.",
         "Connections are not captured.",
         true},
        {"Sockets' creators",
         {"on_create"},
         "bpf cgroup/sock_create",
         "Known.",
         "A socket made by one process and connected by another names only the latter.",
         false},
        {"Older sockets",
         {"on_state", "on_state_within", "on_destroy"},
         "bpf tracepoints",
         "Their ends are seen as they happen.",
         "The ends of connections older than portbook are found by the sweep, minutes late.",
         false},
        {"Who accepted",
         {"on_send", "on_receive", "on_peer4", "on_peer6", "on_release"},
         "bpf tracepoints sock_send_length, sock_recv_length (before Linux 6.3: fentry), cgroup/getpeername, sock_release",
         "The process that really uses an accepted socket.",
         "Who accepts without asking for the peer's address is known only from the close; until then the listener is named.",
         false},
        {"UDP",
         {"on_datagram_out", "on_datagram_in"},
         "bpf cgroup_skb on cgroup2",
         "Every socket's peers, in every namespace and container of this host.",
         "UDP is not captured whole.",
         true},
        {"UDP sockets",
         {"on_datagram_create", "on_datagram_bind4", "on_datagram_bind6", "on_datagram_release", "on_datagram_error"},
         "bpf cgroup/sock_create, post_bind, sock_release, tracepoint inet_sk_error_report",
         "Who made, bound and closed them; the errors that ICMP brings.",
         "Makers, binds, ends or errors of UDP sockets are missing: a peer ends when it is idle.",
         false},
        {"Who receives UDP",
         {"on_datagram_receive"},
         "bpf tracepoint sock_recv_length",
         "Also processes that only receive.",
         "A process that only receives on another's socket is known if it asks for the sender's address.",
         false},
        {"Processes",
         {"on_fork", "on_exec", "on_exit"},
         "bpf sched tracepoints",
         "With arguments and ancestors, also short-lived ones.",
         "Programs and arguments come from /proc and are missing for short-lived processes.",
         true},
        {"Containers",
         {"on_cgroup"},
         "bpf cgroup tracepoints",
         "Control groups made later are known.",
         "Control groups made after start are not known by path.",
         false},
    };
    for (const Need& need : needs) {
      std::vector<std::string> reasons;
      for (const char* program : need.programs) {
        if (programs_->attached(program) || programs_->attached(std::string(program) + "_entry")) continue;
        const auto missing = std::ranges::find(programs_->missing(), program, &MissingProgram::name);
        reasons.push_back(fmt::format("{}: {}", program, missing == programs_->missing().end() ? "not loaded" : missing->reason));
      }
      if (reasons.empty()) {
        add_report({need.what, CaptureState::kOk, need.means, need.fine});
        continue;
      }
      const bool off = reasons.size() == need.programs.size();
      add_report({need.what, off ? CaptureState::kOff : CaptureState::kWarn, need.means,
                  fmt::format("{} ({})", need.absent, fmt::join(reasons, "; "))});
      if (need.is_gap) standing_gaps_.push_back(fmt::format("{} ({})", need.absent, fmt::join(reasons, "; ")));
    }
    if (mounts.version2.empty())
      add_report({"cgroup2", CaptureState::kOff, "mount", "cgroup2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified"});
    add_report({"Never seen", CaptureState::kOff, "",
                "SCTP, UDP-Lite, raw and packet sockets, XDP, ICMP; connects that fail before a packet leaves (no route); inbound "
                "handshakes that are never finished; which destination was asked for where a program in cgroup/connect rewrote it; "
                "who accepted an MPTCP connection (its listener is named)."});
  }

  // Who reads and parses, and who has the rights that this needs.
  void report_privileges() {
    const std::string helper = operations_->carried_out_by();
    if (helper.empty() || options_.confined.empty()) {
      add_report({"Privileges", CaptureState::kWarn, "",
                  "Capture reads and parses in a process that keeps all the rights it was started with."});
    } else {
      add_report({"Privileges", CaptureState::kOk, "helper, seccomp, landlock",
                  fmt::format("Capture runs as {}; beside it {}.", options_.confined, helper)});
    }
  }

  Record book_record(Kind kind, std::string_view about) {
    Record record;
    record.set(Field::kKind, kind);
    record.set(Field::kTime, clock_.now());
    record.set(Field::kVantage, Vantage::kBook);
    record.set(Field::kAbout, about);
    record.set(Field::kVersion, options_.version);
    if (boot_) record.set(Field::kBoot, *boot_);
    return record;
  }

  // Opens a source, with the records that every source begins with.
  Stream& open_stream(std::string_view name, std::string_view covers, std::string_view means) {
    std::string source = fmt::format("{}/{}", options_.host, name);
    const uint64_t last = options_.last_seq ? options_.last_seq(source) : 0;
    Stream& stream = outbox_.open(std::move(source), last + 1);
    streams_.push_back(&stream);
    if (last > 0) write_absence(stream);
    Record record = book_record(Kind::kSourceStart, stream.source());
    record.set(Field::kCovers, covers);
    record.set(Field::kMeans, means);
    stream.add(record);
    for (const std::string& cause : std::exchange(standing_gaps_, {})) write_standing_gap(stream, cause);
    return stream;
  }

  // Between this run and the one before. Where nobody knows up to when that one had told everything, the book says it from the
  // records that it has.
  void write_absence(Stream& stream) {
    Record record = book_record(Kind::kGap, stream.source());
    const TimeNs now = clock_.now();
    const auto untold = options_.untold ? options_.untold(stream.source()) : std::nullopt;
    if (untold) record.set(Field::kStart, std::min(untold->from, now));
    record.set(Field::kEnd, untold ? std::max(untold->to, now) : now);
    record.set(Field::kCause, kNotRunning);
    stream.add(record);
  }

  // From now on, without an end.
  void write_standing_gap(Stream& stream, std::string_view cause) {
    Record record = book_record(Kind::kGap, stream.source());
    record.set(Field::kStart, clock_.now());
    record.set(Field::kCause, cause);
    stream.add(record);
  }

  const bool privileged_;  // somebody else has the rights that this process lacks
  const std::unique_ptr<Operations> operations_;
  const CaptureOptions options_;
  Clock& clock_;
  const std::optional<Id128> boot_;
  NatTable nat_;
  Outbox outbox_;
  std::vector<Stream*> streams_;
  std::unique_ptr<KernelPrograms> programs_;
  std::unique_ptr<NetworkWatcher> network_;
  std::unique_ptr<Reader> reader_;  // or
  std::unique_ptr<Poller> poller_;
  std::vector<std::string> standing_gaps_;  // of the stream that is opened next
  bool stopped_ = false;
  mutable std::mutex report_mutex_;
  CaptureReport report_;
};

}  // namespace

const char* to_text(CaptureState state) {
  switch (state) {
    case CaptureState::kOk: return "ok";
    case CaptureState::kWarn: return "warn";
    case CaptureState::kOff: return "off";
  }
  return "off";
}

Result<std::unique_ptr<Capture>> Capture::start(CaptureOptions options, Clock& clock) {
  if (options.host.empty()) return fail(ErrorCode::kBadInput, "capture needs a host name");
  if (!options.sink) return fail(ErrorCode::kBadInput, "capture needs a sink");
  auto capture = std::make_unique<RunningCapture>(std::move(options), clock);
  capture->run();
  return capture;
}

}  // namespace portbook
