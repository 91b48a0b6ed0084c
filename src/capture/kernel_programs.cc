#include "capture/kernel_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "capture/event_ring.h"
#include "capture/ring_pair.h"

namespace portbook {

namespace {

// A section of one object's data, mapped from its map.
template <typename T, size_t count, int protection>
class Section {
 public:
  static constexpr size_t kBytes = sizeof(T) * count;
  explicit Section(int fd) : mapped_(mmap(nullptr, kBytes, protection, MAP_SHARED, fd, 0)) {}
  ~Section() {
    if (mapped_ != MAP_FAILED) munmap(mapped_, kBytes);
  }
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;
  // Null when they could not be mapped.
  [[nodiscard]] T* get() const { return mapped_ == MAP_FAILED ? nullptr : static_cast<T*>(mapped_); }

 private:
  void* mapped_ = MAP_FAILED;
};
using Counters = Section<const pb_cpu_counters, PB_CPUS_MAX, PROT_READ>;
using Sweep = Section<pb_datagram_sweep, 1, PROT_READ | PROT_WRITE>;

// What the counters of one object say, read in the order that LossMeter asks for.
class Numbers {
 public:
  KernelPrograms::Counts read(const pb_cpu_counters* counters, size_t cpus) {
    given_.assign(cpus, 0);
    lost_.assign(cpus, 0);
    for (size_t cpu = 0; counters != nullptr && cpu < cpus; ++cpu)
      given_[cpu] = __atomic_load_n(&counters[cpu].seq, __ATOMIC_ACQUIRE);
    for (size_t cpu = 0; counters != nullptr && cpu < cpus; ++cpu)
      lost_[cpu] = __atomic_load_n(&counters[cpu].lost, __ATOMIC_ACQUIRE);
    return {given_, lost_};
  }

 private:
  std::vector<uint64_t> given_;
  std::vector<uint64_t> lost_;
};

// Reads an iterator to its end and hands `take` each whole struct of `size` bytes.
Status read_iterator(Operations& operations, const char* name, uint32_t netns, size_t size,
                     const std::function<void(const char*)>& take) {
  const auto fd = operations.open_iterator(name, netns);
  if (!fd.has_value()) return std::unexpected(fd.error());
  std::vector<char> buffer(size * 256);
  size_t held = 0;
  ssize_t got = 0;
  while ((got = read(fd->get(), buffer.data() + held, buffer.size() - held)) > 0 ||
         (got < 0 && (errno == EAGAIN || errno == EINTR))) {
    if (got < 0) continue;
    held += static_cast<size_t>(got);
    size_t at = 0;
    for (; at + size <= held; at += size) take(buffer.data() + at);
    std::memmove(buffer.data(), buffer.data() + at, held - at);
    held -= at;
  }
  if (got < 0) return fail(ErrorCode::kIo, std::string(name) + ": " + std::strerror(errno));
  return {};
}

class MappedPrograms final : public KernelPrograms {
 public:
  static Result<std::unique_ptr<KernelPrograms>> map(Operations& operations, LoadedPrograms loaded, const ProgramOptions& options) {
    auto programs = std::make_unique<MappedPrograms>(operations, std::move(loaded));
    const Status rings = programs->map_rings(options);
    if (!rings.has_value()) return std::unexpected(rings.error());
    return programs;
  }

  MappedPrograms(Operations& operations, LoadedPrograms loaded)
      : operations_(operations),
        loaded_(std::move(loaded)),
        socket_counters_(find_map(".data.socket_counters")),
        process_counters_(find_map(".data.process_counters")),
        datagram_counters_(find_map(".data.datagram_counters")),
        sweep_(find_map(".data.datagram_sweep")) {}
  ~MappedPrograms() override { operations_.unload_programs(); }

  [[nodiscard]] const std::vector<MissingProgram>& missing() const override { return loaded_.missing; }

  [[nodiscard]] bool attached(std::string_view program) const override {
    return std::ranges::find(loaded_.attached, program) != loaded_.attached.end();
  }

  bool drain_sockets(size_t maximum, const TakeSocket& take) override { return sockets_.drain(maximum, take); }
  bool drain_datagrams(size_t maximum, const TakeDatagram& take) override { return datagrams_.drain(maximum, take); }
  bool drain_processes(size_t maximum, const TakeProcess& take) override { return process_ring_.drain(maximum, take); }

  Counts counts(EventKind kind) override { return numbers_[static_cast<size_t>(kind)].read(counters_of(kind), cpus_); }

  [[nodiscard]] Totals totals(EventKind kind) const override { return sum_of(counters_of(kind)); }

  [[nodiscard]] Totals sum_of(const pb_cpu_counters* counters) const {
    Totals sum;
    for (size_t cpu = 0; counters != nullptr && cpu < cpus_; ++cpu) {
      sum.parked += __atomic_load_n(&counters[cpu].parked, __ATOMIC_RELAXED);
      sum.unnamed += __atomic_load_n(&counters[cpu].unnamed, __ATOMIC_RELAXED);
    }
    return sum;
  }

  Status list_processes(const TakeProcess& take) override {
    return read_iterator(operations_, "list_processes", 0, sizeof(pb_process_event),
                         [&](const char* bytes) { take({bytes, sizeof(pb_process_event)}); });
  }
  Status find_owners() override {
    return read_iterator(operations_, "find_owners", 0, 1, [](const char*) {});
  }
  Status list_sockets(uint32_t netns, const TakeSocket& take) override {
    return read_iterator(operations_, "list_sockets", netns, sizeof(pb_socket_event), taker(take));
  }
  Status list_alive(const TakeSocket& take) override {
    return read_iterator(operations_, "list_alive", 0, sizeof(pb_socket_event), taker(take));
  }
  Status list_cookies(const std::function<void(uint64_t)>& take) override {
    return read_iterator(operations_, "list_cookies", 0, sizeof(uint64_t), [&](const char* bytes) {
      uint64_t cookie = 0;
      std::memcpy(&cookie, bytes, sizeof cookie);
      take(cookie);
    });
  }

  Status find_datagram_owners() override {
    return read_iterator(operations_, "find_datagram_owners", 0, 1, [](const char*) {});
  }
  Status list_datagram_sockets(uint32_t netns, const TakeDatagram& take) override {
    return read_iterator(operations_, "list_datagram_sockets", netns, sizeof(pb_datagram_event), taker(take));
  }
  Status sweep_peers(uint64_t idle_before_boot_ns, bool with_map, bool list_alive, const TakeDatagram& take) override {
    if (sweep_.get() == nullptr) return fail(ErrorCode::kUnavailable, "the UDP programs are not loaded");
    *sweep_.get() = {idle_before_boot_ns, list_alive ? 1u : 0u};
    const Status first = read_iterator(operations_, "sweep_first_peers", 0, sizeof(pb_datagram_event), taker(take));
    if (!first.has_value() || !with_map) return first;
    return read_iterator(operations_, "sweep_map_peers", 0, sizeof(pb_datagram_event), taker(take));
  }

  bool find_peer(const pb_peer_key& key, pb_peer& now) override { return bpf_map_lookup_elem(find_map("peers"), &key, &now) == 0; }
  bool take_peer(const pb_peer_key& key, pb_peer& last) override {
    const int map = find_map("peers");
    if (bpf_map_lookup_and_delete_elem(map, &key, &last) == 0) return true;
    // Before Linux 5.14 a map of this kind cannot do both at once.
    return errno != ENOENT && bpf_map_lookup_elem(map, &key, &last) == 0 && bpf_map_delete_elem(map, &key) == 0;
  }
  void set_peers_ended(uint64_t cookie, uint64_t ended) override {
    const int map = find_map("peers_ended");
    if (ended == 0) {
      bpf_map_delete_elem(map, &cookie);
    } else {
      bpf_map_update_elem(map, &cookie, &ended, BPF_ANY);
    }
  }

  std::vector<std::string> find_detached() override {
    auto detached = operations_.find_detached();
    // Whoever held them is gone, and they with it.
    return detached.has_value() ? std::move(*detached) : loaded_.attached;
  }
  Status attach_again(std::string_view program) override { return operations_.attach_again(program); }

 private:
  template <typename Event>
  static std::function<void(const char*)> taker(const std::function<void(const Event&)>& take) {
    return [&take](const char* bytes) {
      Event event;
      std::memcpy(&event, bytes, sizeof event);
      take(event);
    };
  }

  // Negative when the object that has it was not loaded.
  [[nodiscard]] int find_map(std::string_view name) const {
    const auto map = std::ranges::find(loaded_.maps, name, &SharedMap::name);
    return map == loaded_.maps.end() ? -1 : map->fd.get();
  }

  [[nodiscard]] const pb_cpu_counters* counters_of(EventKind kind) const {
    switch (kind) {
      case EventKind::kSocket: return socket_counters_.get();
      case EventKind::kDatagram: return datagram_counters_.get();
      case EventKind::kProcess: return process_counters_.get();
    }
    return nullptr;
  }

  Status map_ring(const char* name, size_t bytes, EventKind kind, EventRing& ring) {
    const int fd = find_map(name);
    if (fd < 0) return {};
    if (counters_of(kind) == nullptr) return fail(ErrorCode::kIo, std::string("the counters of ") + name + " cannot be mapped");
    auto mapped = EventRing::map(fd, bytes);
    if (!mapped.has_value()) return std::unexpected(mapped.error());
    ring = std::move(*mapped);
    return {};
  }

  Status map_rings(const ProgramOptions& options) {
    EventRing ring;
    EventRing overflow;
    Status status = map_ring("socket_ring", options.socket_ring_bytes, EventKind::kSocket, ring);
    if (status.has_value()) status = map_ring("overflow", options.overflow_bytes, EventKind::kSocket, overflow);
    sockets_ = {std::exchange(ring, {}), std::exchange(overflow, {})};
    if (status.has_value()) status = map_ring("datagram_ring", options.datagram_ring_bytes, EventKind::kDatagram, ring);
    if (status.has_value()) status = map_ring("datagram_overflow", options.overflow_bytes, EventKind::kDatagram, overflow);
    datagrams_ = {std::move(ring), std::move(overflow)};
    if (status.has_value()) status = map_ring("process_ring", options.process_ring_bytes, EventKind::kProcess, process_ring_);
    return status;
  }

  const size_t cpus_ = static_cast<size_t>(std::clamp(libbpf_num_possible_cpus(), 1, PB_CPUS_MAX));
  Operations& operations_;
  const LoadedPrograms loaded_;
  const Counters socket_counters_;
  const Counters process_counters_;
  const Counters datagram_counters_;
  const Sweep sweep_;
  RingPair<pb_socket_event> sockets_;
  RingPair<pb_datagram_event> datagrams_;
  EventRing process_ring_;
  std::array<Numbers, kEventKinds> numbers_;
};

}  // namespace

Result<std::unique_ptr<KernelPrograms>> KernelPrograms::load(Operations& operations, const ProgramOptions& options) {
  auto loaded = operations.load_programs(options);
  if (!loaded.has_value()) return std::unexpected(loaded.error());
  return MappedPrograms::map(operations, std::move(*loaded), options);
}

}  // namespace portbook
