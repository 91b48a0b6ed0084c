// What capture says about itself, for `doctor`, /status and source_start records.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace portbook {

enum class CaptureState : uint8_t { kOk, kWarn, kOff };

// One thing that portbook wants to know, and how it learns it here.
struct Capability {
  std::string what;  // "TCP connections"
  CaptureState state = CaptureState::kOff;
  std::string means;   // "sockops on cgroup2"
  std::string detail;  // one sentence for a person; for kWarn and kOff what is missing and what would bring it
};
using CaptureReport = std::vector<Capability>;

// "ok", "warn", "off".
const char* to_text(CaptureState state);

// Totals since start.
struct CaptureStatistics {
  uint64_t events = 0;            // from the kernel
  uint64_t records = 0;           // written
  uint64_t lost_events = 0;       // each also in a gap record
  uint64_t parked_opens = 0;      // found the ring full and were made good later
  uint64_t unnamed_uses = 0;      // processes beyond the four that are named per socket
  uint64_t open_connections = 0;  // now
  uint64_t processes = 0;         // known now
  uint64_t passes = 0;            // of the reading loop: each is at most two system calls
  uint64_t batches = 0;           // handed to the sink
};

}  // namespace portbook
