// What this host's kernel sees of TCP connections, the processes that own them, address translation and addresses, as records.
// docs/capture.md says what is captured by what means, and what never is.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "capture/report.h"
#include "privilege/operations.h"
#include "record/batch.h"

namespace portbook {

// From the moment up to which an earlier run had handed over all that a source saw, to the present; wider where the clock was set
// meanwhile.
struct Untold {
  TimeNs from = 0;
  TimeNs to = 0;
};

struct CaptureOptions {
  std::string host;  // for `host` on every record and in front of the sources' names: "web-7/socket", "web-7/nat", "web-7/address"
  std::string version;  // of the program, for source_start records
  // The last source_seq that the book has from a source; 0 for none. Called from start() only.
  std::function<uint64_t(std::string_view source)> last_seq;
  // What an earlier run of the source left untold; nothing where nobody knows. Called from start() only.
  std::function<std::optional<Untold>(std::string_view source)> untold;
  // All that the source will ever tell of what happened up to `until` was taken by the sink. Called each few milliseconds, also
  // while nothing happens, from any thread; must not wait and must not call back. Goes back when the clock is set back.
  std::function<void(const std::string& source, TimeNs until)> told;
  // Takes a batch over and says later, from any thread and exactly once, what became of it. May block: the kernel's rings and
  // sockets then buffer, and what they cannot hold becomes `gap` records. A batch that fails with anything but kBadInput is handed
  // over again until it is taken; one refused with kBadInput is replaced by a gap. At most one batch of each source is under way at
  // a time. Called from capture's own sending thread.
  using Done = std::function<void(const Status&)>;
  std::function<void(Batch batch, Done done)> sink;
  bool with_cmdline = true;                  // false: arguments are never read into records
  uint64_t udp_idle_ns = 60 * kNsPerSecond;  // a UDP peer is closed after so long without a packet
  bool without_programs = false;             // true: sockets are polled even where the kernel would take programs
  ProgramOptions programs;
  int conntrack_receive_bytes = 16 << 20;  // what the kernel may hold of each namespace's conntrack messages until they are read
  // What needs privilege; null: done in this process, with its own rights.
  std::unique_ptr<Operations> operations;
  std::string confined;  // what this process was confined to, in words, for the report; empty: not
};

// Thread-safe. Runs its own threads until stop() or destruction.
class Capture {
 public:
  // Attaches to the kernel and takes the first snapshot. What this machine or this user's rights do not allow is left out, said in
  // report() and written as a gap without end; it is no error.
  // Errors: kBadInput (no host name, no sink).
  static Result<std::unique_ptr<Capture>> start(CaptureOptions options, Clock& clock);
  virtual ~Capture() = default;

  // Takes what the kernel has buffered, writes source_stop records and returns once the sink has answered for every batch, or after
  // five seconds. Once; later calls do nothing. The destructor calls it.
  virtual void stop() = 0;

  // What is captured by what means, and what is not and why. A copy; the state may change while capture runs.
  [[nodiscard]] virtual CaptureReport report() const = 0;
  [[nodiscard]] virtual CaptureStatistics statistics() const = 0;
  // Whoever carried out what needs privilege is gone, and the programs with it: stop, and start anew.
  [[nodiscard]] virtual bool lost() const = 0;
};

}  // namespace portbook
