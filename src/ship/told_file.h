// Up to when an agent has handed over everything of each of its sources. Outlives the agent, so that the next one knows where the
// gap between both begins. docs/formats/spool.md has the offsets.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "store/disk.h"

namespace portbook {

inline constexpr uint32_t kToldVersion = 1;
inline constexpr size_t kToldSlotBytes = 512;
inline constexpr std::string_view kToldName = "told";

// Owned by one thread at a time.
//
// Written in place and not synced: a process that is killed leaves what it wrote, and after a loss of power an older moment, or
// none, which makes the gap longer and never shorter. What cannot be written stays older likewise; so nothing here is an error.
class ToldFile {
 public:
  struct Told {
    std::string source;
    TimeNs until = 0;
    uint64_t offset_ns = 0;  // of the clock from boot time, when that was written
  };

  // Knows nothing and keeps nothing.
  ToldFile() = default;
  // What the run before left in the folder; begins a new file where there is none.
  static ToldFile open(std::unique_ptr<Disk> disk);

  // What the run before left of that source.
  [[nodiscard]] std::optional<Told> before(std::string_view source) const;
  void write(const Told& told);

 private:
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<File> file_;
  std::vector<Told> before_;
  std::vector<std::string> slots_;  // their sources
};

// The slots of a whole file that hold, each with its place; for the reader and its test.
std::vector<ToldFile::Told> read_told(ByteView bytes);

}  // namespace portbook
