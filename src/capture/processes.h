// Who runs on this host: every process with its program, arguments, user and parent, also when it lives for a millisecond.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "capture/boot_clock.h"
#include "capture/bpf/events.h"
#include "capture/cgroups.h"
#include "capture/containers.h"
#include "capture/user_names.h"
#include "privilege/operations.h"
#include "record/record.h"

namespace portbook {

// A process on one boot. Never the number alone: numbers are used again.
struct ProcessKey {
  uint32_t tgid = 0;
  uint64_t start_boot_ns = 0;
  auto operator<=>(const ProcessKey&) const = default;
};

// What a process runs. Shared: forks run what their parent runs, and connections outlive their process.
struct Image {
  std::string exe;
  std::string cmdline;  // redacted
  std::string cwd;      // when the program was started
  uint32_t redacted = 0;
};

// What a socket record says about its process. Absent parts are empty.
struct Who {
  uint32_t pid = 0;  // 0: no process is known
  uint32_t uid = 0;
  TimeNs process_start = 0;
  std::shared_ptr<const Image> image;
  std::shared_ptr<const CgroupPlace> place;
};

// The variable part of an exec or cgroup event. Views into the event's bytes.
struct ProcessEventData {
  pb_process_event head;
  std::string_view exe;  // names, deepest first, each ended by NUL
  std::string_view cwd;
  std::string_view args;  // NUL-separated
};
// False when the bytes are no whole event (its lengths do not fit).
bool decode_process_event(std::string_view bytes, ProcessEventData& event);
// "/usr/bin/python3" of "python3\0bin\0usr\0"; "/" of nothing.
std::string path_of_names(std::string_view names);

// What /proc says of a process; for those that were there before capture, and where events were lost.
class ProcReader {
 public:
  virtual ~ProcReader() = default;
  struct Found {
    Image image;
    uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
    uint32_t ppid = 0;
  };
  // Nothing when there is no such process any more.
  virtual std::unique_ptr<Found> read(uint32_t tgid) = 0;
};
// Reads parent and start out of /proc/PID/stat. False when it is no such text.
bool parse_process_stat(std::string_view stat, ProcReader::Found& found);
// `operations` outlives it.
std::unique_ptr<ProcReader> make_proc_reader(Operations& operations, bool with_cmdline);

// Owned by one thread.
class Processes {
 public:
  Processes(BootClock& clock, Cgroups& cgroups, ProcReader& proc, bool with_cmdline);

  // Names of containers from here on; outlives this.
  void name_containers(ContainerNames& names) { containers_ = &names; }

  // One event of the kernel programs or of the snapshot; they may come after what their process did later.
  void apply(const ProcessEventData& event);

  // Around a list of all processes, given to apply() as PB_TASK: after a loss, it tells which programs run now that nobody saw
  // begin, and which processes are gone.
  void begin_relist(uint64_t now_boot_ns);
  void end_relist(uint64_t now_boot_ns);

  // What a process was seen to be, when no event tells: it replaces what was known of it where that differs.
  void observe(const pb_owner& owner, const ProcessKey& parent, std::shared_ptr<const Image> image, uint64_t at_boot_ns);

  // The process behind a socket event's owner as it was at that moment, with `emit` called for its process record and those of its
  // ancestors that have not been written yet, the oldest first. Nothing is emitted for a process whose record stands and still
  // holds.
  using Emit = std::function<void(Record&)>;
  Who identify(const pb_owner& owner, uint64_t at_boot_ns, const Emit& emit);

  // Forgets processes that ended a while ago and have no living children.
  void forget_old(uint64_t now_boot_ns);
  [[nodiscard]] size_t count() const { return processes_.size(); }

 private:
  struct Program {
    uint64_t from_boot_ns = 0;           // since when the process runs it; of the first one, not later than
    std::shared_ptr<const Image> image;  // null: not known
    bool written = false;                // the record as it would be now
  };
  struct Process {
    pb_owner owner{};  // as last seen
    ProcessKey parent;
    std::vector<Program> programs;  // the last few, oldest first: what it ran when a socket was used is asked later
    uint64_t entered_boot_ns = 0;
    uint64_t ended_boot_ns = 0;
    uint32_t exec_id = 0;  // of the kernel; 0: not known
    uint32_t listed = 0;   // the last list that had it
    TimeNs start = 0;
    uint32_t children = 0;
    bool counted = false;  // in its parent's `children`
    bool unnamed = false;  // written without its container's name
  };
  struct HashKey {
    size_t operator()(const ProcessKey& key) const { return key.start_boot_ns * 0x9e3779b97f4a7c15 ^ key.tgid; }
  };
  Process& enter(const pb_owner& owner, const ProcessKey& parent, bool& is_new);
  void leave(const Process& process);
  Process& find_or_read(const pb_owner& owner);
  static Program& program_at(Process& process, uint64_t at_boot_ns);
  static void add_program(Process& process, uint64_t from_boot_ns, std::shared_ptr<const Image> image);
  void begin(Process& process, const ProcessKey& parent, uint64_t at_boot_ns);
  void run(Process& process, const ProcessEventData& event);
  void write(const ProcessKey& key, uint64_t at_boot_ns, const Emit& emit, int depth);
  void fill(Process& process, const Program& program, uint64_t at_boot_ns, Record& record);

  BootClock& clock_;
  Cgroups& cgroups_;
  ProcReader& proc_;
  const bool with_cmdline_;
  UserNames names_;
  ContainerNames* containers_ = nullptr;
  std::unordered_map<ProcessKey, Process, HashKey> processes_;
  uint32_t list_ = 0;
  uint64_t list_began_ = 0;
  Record record_;
};

}  // namespace portbook
