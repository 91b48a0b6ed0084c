// What capture's unit tests share: a clock that stands still, and a list of what was emitted.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "capture/boot_clock.h"
#include "capture/processes.h"
#include "record/json.h"

namespace portbook {

// UTC is boot time plus a million seconds.
class StandingClock final : public Clock {
 public:
  static constexpr uint64_t kOffset = 1'000'000 * kNsPerSecond;
  TimeNs now() override { return boot + kOffset; }
  uint64_t boot_ns() override { return boot; }
  uint64_t boot = 100 * kNsPerSecond;
};

class EmptyProc final : public ProcReader {
 public:
  std::unique_ptr<Found> read(uint32_t tgid) override {
    if (tgid != known_tgid) return nullptr;
    return std::make_unique<Found>(known);
  }
  uint32_t known_tgid = 0;
  Found known;
};

struct World {
  World() { boot_clock.sample({}); }
  StandingClock clock;
  BootClock boot_clock{clock};
  Cgroups cgroups;
  EmptyProc proc;
  Processes processes{boot_clock, cgroups, proc, true};
  std::vector<Record> records;
  std::function<void(Record&)> emit = [this](Record& record) { records.push_back(record); };

  [[nodiscard]] std::vector<const Record*> of(Kind kind) const {
    std::vector<const Record*> found;
    for (const Record& record : records) {
      if (record.kind() == kind) found.push_back(&record);
    }
    return found;
  }
};

inline pb_owner make_owner(uint32_t tgid, uint64_t start) {
  pb_owner owner{};
  owner.tgid = tgid;
  owner.start = start;
  owner.uid = 1000;
  owner.loginuid = UINT32_MAX;
  owner.session = UINT32_MAX;
  owner.comm[0] = 'c';
  return owner;
}

inline void apply_process(Processes& processes, __u8 type, const pb_owner& owner, const pb_owner& parent, uint64_t time,
                          std::string_view exe = {}, std::string_view args = {}) {
  ProcessEventData event{};
  event.head.type = type;
  event.head.time = time;
  event.head.owner = owner;
  event.head.parent_tgid = parent.tgid;
  event.head.parent_start = parent.start;
  event.exe = exe;
  event.args = args;
  processes.apply(event);
}

}  // namespace portbook
