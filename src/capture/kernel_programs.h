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

// The programs number their events by these, each with rings of its own, so that one flood cannot starve another.
enum class EventKind : uint8_t { kSocket, kDatagram, kProcess };
inline constexpr size_t kEventKinds = 3;

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
  // Hand over what the rings hold, at most `maximum` events of each; true when everything that the programs had begun to write
  // before the call was handed over. No system calls.
  virtual bool drain_sockets(size_t maximum, const TakeSocket& take) = 0;
  virtual bool drain_datagrams(size_t maximum, const TakeDatagram& take) = 0;
  virtual bool drain_processes(size_t maximum, const TakeProcess& take) = 0;

  // The last number that each CPU gave out, and then the losses that each has counted. Valid until the next call with that kind.
  struct Counts {
    std::span<const uint64_t> given;
    std::span<const uint64_t> lost;
  };
  virtual Counts counts(EventKind kind) = 0;
  // Sums over all CPUs.
  struct Totals {
    uint64_t parked = 0;
    uint64_t unnamed = 0;
  };
  [[nodiscard]] virtual Totals totals(EventKind kind) const = 0;

  // Snapshots. Errors: kUnavailable where the iterator could not be loaded; kIo.
  virtual Status list_processes(const TakeProcess& take) = 0;
  virtual Status find_owners() = 0;
  // The TCP sockets of a network namespace whose beginning no program saw, each once. Errors: also kNotFound, kDenied (the
  // namespace).
  virtual Status list_sockets(uint32_t netns, const TakeSocket& take) = 0;
  // Connections and listeners of all namespaces that are alive, and those whose beginning is owed.
  virtual Status list_alive(const TakeSocket& take) = 0;
  // Of the former only the connections' numbers, as an event's `cookie` has them.
  virtual Status list_cookies(const std::function<void(uint64_t)>& take) = 0;
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
