// The programs in the kernel, as their reader sees them: the rings, the counters, the snapshots. Loading them is privilege/'s.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "capture/bpf/events.h"
#include "capture/datagrams.h"
#include "privilege/operations.h"

namespace portbook {

// Owned by one thread but where said. Destroying it detaches everything.
class KernelPrograms : public KernelPeers {
 public:
  // Has all programs that this kernel accepts loaded and attached, and maps their rings. `operations` outlives it.
  // Errors: kDenied, kUnavailable (none could be loaded), kIo, with one sentence.
  static Result<std::unique_ptr<KernelPrograms>> load(Operations& operations, const ProgramOptions& options);

  [[nodiscard]] virtual const std::vector<MissingProgram>& missing() const = 0;
  [[nodiscard]] virtual bool attached(std::string_view program) const = 0;

  using TakeSocket = std::function<void(const pb_socket_event&)>;
  using TakeDatagram = std::function<void(const pb_datagram_event&)>;
  using TakeProcess = std::function<void(std::string_view bytes)>;
  // Hand over what the ring holds, at most `maximum` events; true when the ring was found empty. No system calls.
  virtual bool drain_sockets(size_t maximum, const TakeSocket& take) = 0;
  virtual bool drain_datagrams(size_t maximum, const TakeDatagram& take) = 0;
  virtual bool drain_processes(size_t maximum, const TakeProcess& take) = 0;
  // Ends that waited because the ring was full. One system call each, and one to find none: only worth it after parked() or lost()
  // moved.
  virtual void drain_overflow(const TakeSocket& take) = 0;
  virtual void drain_datagram_overflow(const TakeDatagram& take) = 0;

  // The last event number that each CPU gave out; valid until the next call.
  virtual std::span<const uint64_t> socket_events_given() = 0;
  virtual std::span<const uint64_t> datagram_events_given() = 0;
  virtual std::span<const uint64_t> process_events_given() = 0;
  // Sums over all CPUs.
  struct Totals {
    uint64_t parked = 0;
    uint64_t lost = 0;
    uint64_t unnamed = 0;
  };
  [[nodiscard]] virtual Totals totals() const = 0;
  [[nodiscard]] virtual Totals datagram_totals() const = 0;

  // Snapshots. Errors: kUnavailable where the iterator could not be loaded; kIo.
  virtual Status list_processes(const TakeProcess& take) = 0;
  virtual Status find_owners() = 0;
  // The TCP sockets of a network namespace that were there before the programs. Errors: also kNotFound, kDenied (the namespace).
  virtual Status list_sockets(uint32_t netns, const TakeSocket& take) = 0;
  virtual Status list_alive(const TakeSocket& take) = 0;
  // As these, of UDP.
  virtual Status find_datagram_owners() = 0;
  virtual Status list_datagram_sockets(uint32_t netns, const TakeDatagram& take) = 0;
  // Peers that are owed their open, were idle before that moment, or (with `list_alive`) are there. `with_map`: also those beyond
  // each socket's first.
  virtual Status sweep_peers(uint64_t idle_before_boot_ns, bool with_map, bool list_alive, const TakeDatagram& take) = 0;

  // The names of programs that somebody has detached since. A few system calls.
  virtual std::vector<std::string> find_detached() = 0;
  // Attaches one of them again. Errors: kNotFound, kUnavailable with the reason.
  virtual Status attach_again(std::string_view program) = 0;
};

}  // namespace portbook
