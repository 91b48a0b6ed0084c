#include "capture/kernel_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace portbook {

namespace {

struct CloseRing {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

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

// One ring and what libbpf's callback needs: it may stop after so many events.
template <typename Take>
struct Drain {
  const Take* take = nullptr;
  size_t left = 0;
};

class MappedPrograms final : public KernelPrograms {
 public:
  static Result<std::unique_ptr<KernelPrograms>> map(Operations& operations, LoadedPrograms loaded) {
    auto programs = std::make_unique<MappedPrograms>(operations, std::move(loaded));
    const Status rings = programs->open_rings();
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

  bool drain_sockets(size_t maximum, const TakeSocket& take) override {
    if (!socket_ring_) return true;
    socket_drain_ = {&take, maximum};
    return ring_buffer__consume(socket_ring_.get()) >= 0;
  }

  bool drain_datagrams(size_t maximum, const TakeDatagram& take) override {
    if (!datagram_ring_) return true;
    datagram_drain_ = {&take, maximum};
    return ring_buffer__consume(datagram_ring_.get()) >= 0;
  }

  bool drain_processes(size_t maximum, const TakeProcess& take) override {
    if (!process_ring_) return true;
    process_drain_ = {&take, maximum};
    return ring_buffer__consume(process_ring_.get()) >= 0;
  }

  void drain_overflow(const TakeSocket& take) override {
    const int overflow = find_map("overflow");
    pb_socket_event event;
    while (overflow >= 0 && bpf_map_lookup_and_delete_elem(overflow, nullptr, &event) == 0) take(event);
  }

  void drain_datagram_overflow(const TakeDatagram& take) override {
    const int overflow = find_map("datagram_overflow");
    pb_datagram_event event;
    while (overflow >= 0 && bpf_map_lookup_and_delete_elem(overflow, nullptr, &event) == 0) take(event);
  }

  std::span<const uint64_t> socket_events_given() override { return given(socket_counters_.get(), socket_given_); }
  std::span<const uint64_t> datagram_events_given() override { return given(datagram_counters_.get(), datagram_given_); }
  std::span<const uint64_t> process_events_given() override { return given(process_counters_.get(), process_given_); }

  [[nodiscard]] Totals totals() const override { return sum_of(socket_counters_.get()); }
  [[nodiscard]] Totals datagram_totals() const override { return sum_of(datagram_counters_.get()); }

  [[nodiscard]] Totals sum_of(const pb_cpu_counters* counters) const {
    Totals sum;
    for (size_t cpu = 0; counters != nullptr && cpu < cpus_; ++cpu) {
      sum.parked += __atomic_load_n(&counters[cpu].parked, __ATOMIC_RELAXED);
      sum.lost += __atomic_load_n(&counters[cpu].lost, __ATOMIC_RELAXED);
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

  bool take_peer(const pb_peer_key& key, pb_peer& last) override {
    return bpf_map_lookup_and_delete_elem(find_map("peers"), &key, &last) == 0;
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

  Status open_rings() {
    if (const int fd = find_map("socket_ring"); fd >= 0) {
      socket_ring_.reset(ring_buffer__new(fd, take_socket, &socket_drain_, nullptr));
      if (!socket_ring_ || socket_counters_.get() == nullptr)
        return fail(ErrorCode::kIo, std::string("the socket ring cannot be mapped: ") + std::strerror(errno));
    }
    if (const int fd = find_map("datagram_ring"); fd >= 0) {
      datagram_ring_.reset(ring_buffer__new(fd, take_datagram, &datagram_drain_, nullptr));
      if (!datagram_ring_ || datagram_counters_.get() == nullptr || sweep_.get() == nullptr)
        return fail(ErrorCode::kIo, std::string("the UDP ring cannot be mapped: ") + std::strerror(errno));
    }
    if (const int fd = find_map("process_ring"); fd >= 0) {
      process_ring_.reset(ring_buffer__new(fd, take_process, &process_drain_, nullptr));
      if (!process_ring_ || process_counters_.get() == nullptr)
        return fail(ErrorCode::kIo, std::string("the process ring cannot be mapped: ") + std::strerror(errno));
    }
    return {};
  }

  // A negative answer makes libbpf stop, with this event taken.
  static int take_socket(void* context, void* data, size_t size) {
    auto& drain = *static_cast<Drain<TakeSocket>*>(context);
    if (size >= sizeof(pb_socket_event)) (*drain.take)(*static_cast<const pb_socket_event*>(data));
    return --drain.left == 0 ? -EAGAIN : 0;
  }
  static int take_datagram(void* context, void* data, size_t size) {
    auto& drain = *static_cast<Drain<TakeDatagram>*>(context);
    if (size >= sizeof(pb_datagram_event)) (*drain.take)(*static_cast<const pb_datagram_event*>(data));
    return --drain.left == 0 ? -EAGAIN : 0;
  }
  static int take_process(void* context, void* data, size_t size) {
    auto& drain = *static_cast<Drain<TakeProcess>*>(context);
    (*drain.take)({static_cast<const char*>(data), size});
    return --drain.left == 0 ? -EAGAIN : 0;
  }

  std::span<const uint64_t> given(const pb_cpu_counters* counters, std::vector<uint64_t>& out) const {
    out.assign(cpus_, 0);
    for (size_t cpu = 0; counters != nullptr && cpu < cpus_; ++cpu)
      out[cpu] = __atomic_load_n(&counters[cpu].seq, __ATOMIC_ACQUIRE);
    return out;
  }

  const size_t cpus_ = static_cast<size_t>(std::clamp(libbpf_num_possible_cpus(), 1, PB_CPUS_MAX));
  Operations& operations_;
  const LoadedPrograms loaded_;
  const Counters socket_counters_;
  const Counters process_counters_;
  const Counters datagram_counters_;
  const Sweep sweep_;
  Drain<TakeSocket> socket_drain_;
  Drain<TakeDatagram> datagram_drain_;
  Drain<TakeProcess> process_drain_;
  std::unique_ptr<ring_buffer, CloseRing> socket_ring_;
  std::unique_ptr<ring_buffer, CloseRing> datagram_ring_;
  std::unique_ptr<ring_buffer, CloseRing> process_ring_;
  std::vector<uint64_t> socket_given_;
  std::vector<uint64_t> datagram_given_;
  std::vector<uint64_t> process_given_;
};

}  // namespace

Result<std::unique_ptr<KernelPrograms>> KernelPrograms::load(Operations& operations, const ProgramOptions& options) {
  auto loaded = operations.load_programs(options);
  if (!loaded.has_value()) return std::unexpected(loaded.error());
  return MappedPrograms::map(operations, std::move(*loaded));
}

}  // namespace portbook
