#include "capture/processes.h"

#include <algorithm>
#include <cstring>

#include "capture/redact.h"

namespace portbook {

namespace {

constexpr uint32_t kUnset = UINT32_MAX;
constexpr uint64_t kKeepEndedNs = 60 * kNsPerSecond;
// Processes remembered; beyond it ended ones are forgotten at once.
constexpr size_t kProcessesMax = 300'000;
constexpr int kAncestorsMax = 64;
// Of each process: a socket's event is applied some milliseconds after it happened.
constexpr size_t kProgramsKept = 4;
constexpr uint64_t kTickNs = 10'000'000;  // USER_HZ, 100 on every architecture that is built for

ProcessKey key_of(const pb_owner& owner) {
  return {owner.tgid, owner.start};
}

// Whether a process record written for `a` still says all that one for `b` would.
bool says_the_same(const pb_owner& a, const pb_owner& b) {
  return a.uid == b.uid && a.gid == b.gid && a.loginuid == b.loginuid && a.session == b.session && a.cgroup == b.cgroup &&
         a.cgroup1 == b.cgroup1;
}

std::string_view comm_of(const pb_owner& owner) {
  return {owner.comm, strnlen(owner.comm, sizeof owner.comm)};
}

}  // namespace

bool decode_process_event(std::string_view bytes, ProcessEventData& event) {
  if (bytes.size() < sizeof event.head) return false;
  std::memcpy(&event.head, bytes.data(), sizeof event.head);
  bytes.remove_prefix(sizeof event.head);
  // The ring rounds nothing up, but a longer event of a newer program would be no error.
  if (bytes.size() < size_t{event.head.exe_bytes} + event.head.cwd_bytes + event.head.args_bytes) return false;
  event.exe = bytes.substr(0, event.head.exe_bytes);
  event.cwd = bytes.substr(event.head.exe_bytes, event.head.cwd_bytes);
  event.args = bytes.substr(size_t{event.head.exe_bytes} + event.head.cwd_bytes, event.head.args_bytes);
  return true;
}

std::string path_of_names(std::string_view names) {
  std::string path;
  while (!names.empty() && names.back() == '\0') names.remove_suffix(1);
  while (!names.empty()) {
    const size_t before = names.rfind('\0');
    const size_t begin = before == std::string_view::npos ? 0 : before + 1;
    path += '/';
    path += names.substr(begin);
    names = before == std::string_view::npos ? std::string_view() : names.substr(0, before);
  }
  return path.empty() ? "/" : path;
}

Processes::Processes(BootClock& clock, Cgroups& cgroups, ProcReader& proc, bool with_cmdline)
    : clock_(clock), cgroups_(cgroups), proc_(proc), with_cmdline_(with_cmdline) {}

Processes::Process& Processes::enter(const pb_owner& owner, const ProcessKey& parent, bool& is_new) {
  const auto [at, inserted] = processes_.try_emplace(key_of(owner));
  is_new = inserted;
  Process& process = at->second;
  if (!inserted) return process;
  process.owner = owner;
  process.parent = parent;
  process.start = clock_.utc(owner.start);
  process.entered_boot_ns = clock_.boot_now();
  const auto up = processes_.find(parent);
  if (up != processes_.end()) {
    ++up->second.children;
    process.counted = true;
  }
  return process;
}

void Processes::leave(const Process& process) {
  if (!process.counted) return;
  const auto up = processes_.find(process.parent);
  if (up != processes_.end()) --up->second.children;
}

// What it ran at that moment. Of a process whose beginning nobody saw the first known program stands for what was before.
Processes::Program& Processes::program_at(Process& process, uint64_t at_boot_ns) {
  if (process.programs.empty()) return process.programs.emplace_back();
  const auto later =
      std::ranges::find_if(process.programs, [&](const Program& program) { return program.from_boot_ns > at_boot_ns; });
  return later == process.programs.begin() ? *later : *std::prev(later);
}

void Processes::add_program(Process& process, uint64_t from_boot_ns, std::shared_ptr<const Image> image) {
  auto& programs = process.programs;
  const auto at = std::ranges::find_if(programs, [&](const Program& program) { return program.from_boot_ns > from_boot_ns; });
  programs.insert(at, {from_boot_ns, std::move(image)});
  if (programs.size() > kProgramsKept) programs.erase(programs.begin());
}

// A child runs what its parent ran then.
void Processes::begin(Process& process, const ProcessKey& parent, uint64_t at_boot_ns) {
  const auto up = processes_.find(parent);
  add_program(process, at_boot_ns, up == processes_.end() ? nullptr : program_at(up->second, at_boot_ns).image);
}

void Processes::run(Process& process, const ProcessEventData& event) {
  const uint64_t now = event.head.time;
  auto image = std::make_shared<Image>();
  image->exe = path_of_names(event.exe);
  image->cwd = path_of_names(event.cwd);
  if (with_cmdline_) {
    // A cut argument list longer than the field's maximum is cut, and marked so, by the record.
    Redacted redacted = redact_arguments(event.args);
    image->cmdline = std::move(redacted.text);
    image->redacted = redacted.count;
  }
  auto& programs = process.programs;
  // What ran before is not known, and is not this.
  if (programs.empty() || programs.front().from_boot_ns > now) add_program(process, 0, nullptr);
  const auto later = std::ranges::find_if(programs, [&](const Program& program) { return program.from_boot_ns > now; });
  if (later == programs.end()) process.owner = event.head.owner;
  // /proc was read before this event was: the same program, and now it is known since when.
  if (later != programs.end() && later->image && later->image->exe == image->exe && later->image->cmdline == image->cmdline) {
    later->from_boot_ns = now;
    return;
  }
  add_program(process, now, std::move(image));
}

void Processes::apply(const ProcessEventData& event) {
  const pb_process_event& head = event.head;
  if (head.type == PB_CGROUP) {
    const std::string_view path = event.exe.substr(0, event.exe.find('\0'));
    cgroups_.add(head.owner.cgroup, head.version1 != 0, std::string(path));
    // Asked for before its first process is written.
    if (const std::string_view id = container_of(path); containers_ != nullptr && !id.empty()) containers_->find(id, head.time);
    return;
  }
  if (head.owner.tgid == 0) return;
  const ProcessKey parent{head.parent_tgid, head.parent_start};
  if (head.type == PB_EXIT) {
    const auto at = processes_.find(key_of(head.owner));
    if (at != processes_.end()) at->second.ended_boot_ns = head.time;
    return;
  }
  bool is_new = false;
  Process& process = enter(head.owner, parent, is_new);
  const bool missed_exec = head.type == PB_TASK && head.exec_id > process.exec_id && process.exec_id != 0;
  process.exec_id = std::max(process.exec_id, head.exec_id);
  process.listed = list_;
  if (head.type == PB_FORK) {
    begin(process, parent, head.time);
  } else if (head.type == PB_EXEC) {
    run(process, event);
  } else if (head.type == PB_TASK && (process.programs.empty() || !process.programs.back().image || missed_exec)) {
    // The moment is taken before the reading: an exec in between is told by its own, later event.
    const uint64_t from = clock_.boot_now();
    auto found = proc_.read(head.owner.tgid);
    if (!missed_exec) process.programs.clear();
    add_program(process, from, found ? std::make_shared<const Image>(std::move(found->image)) : nullptr);
    if (missed_exec) process.owner = head.owner;
  }
}

void Processes::begin_relist(uint64_t now_boot_ns) {
  ++list_;
  list_began_ = now_boot_ns;
}

void Processes::end_relist(uint64_t now_boot_ns) {
  for (auto& [key, process] : processes_) {
    if (process.listed != list_ && process.ended_boot_ns == 0 && process.entered_boot_ns < list_began_)
      process.ended_boot_ns = now_boot_ns;
  }
}

void Processes::observe(const pb_owner& owner, const ProcessKey& parent, std::shared_ptr<const Image> image, uint64_t at_boot_ns) {
  bool is_new = false;
  Process& process = enter(owner, parent, is_new);
  // A process may move to another folder without becoming another program.
  const Image* last = process.programs.empty() ? nullptr : process.programs.back().image.get();
  if (last != nullptr && last->exe == image->exe && last->cmdline == image->cmdline) return;
  add_program(process, at_boot_ns, std::move(image));
  process.owner = owner;
}

Processes::Process& Processes::find_or_read(const pb_owner& owner) {
  const auto at = processes_.find(key_of(owner));
  if (at != processes_.end()) return at->second;
  ProcessKey parent;
  std::shared_ptr<const Image> image;
  if (auto found = proc_.read(owner.tgid)) {
    const uint64_t start = found->start_ticks * kTickNs;
    // /proc counts in ticks and rounds down; another start means that the number belongs to a later process.
    if (start <= owner.start && owner.start < start + 2 * kTickNs) {
      image = std::make_shared<const Image>(std::move(found->image));
      parent.tgid = found->ppid;
    }
  }
  bool is_new = false;
  Process& process = enter(owner, parent, is_new);
  add_program(process, clock_.boot_now(), std::move(image));
  return process;
}

Who Processes::identify(const pb_owner& owner, uint64_t at_boot_ns, const Emit& emit) {
  if (owner.tgid == 0) return {};
  Process& process = find_or_read(owner);
  Program& program = program_at(process, at_boot_ns);
  if (!says_the_same(process.owner, owner)) program.written = false;
  Who who{owner.tgid, owner.uid, process.start, program.image, cgroups_.place(owner.cgroup, owner.cgroup1)};
  // The name of its container came later than its record.
  if (process.unnamed && who.place && !containers_->find(who.place->container, at_boot_ns).empty()) program.written = false;
  if (!program.written) {
    process.owner = owner;
    write(key_of(owner), at_boot_ns, emit, 0);
  }
  return who;
}

void Processes::write(const ProcessKey& key, uint64_t at_boot_ns, const Emit& emit, int depth) {
  const auto at = processes_.find(key);
  if (at == processes_.end() || depth > kAncestorsMax) return;
  Program& program = program_at(at->second, at_boot_ns);
  if (program.written) return;
  program.written = true;
  // Readers join the newest record: what it ran later is told anew when it is needed.
  for (Program& other : at->second.programs) {
    if (other.from_boot_ns > program.from_boot_ns) other.written = false;
  }
  write(at->second.parent, at_boot_ns, emit, depth + 1);
  fill(at->second, program, at_boot_ns, record_);
  emit(record_);
}

void Processes::fill(Process& process, const Program& program, uint64_t at_boot_ns, Record& record) {
  const pb_owner& owner = process.owner;
  record.clear();
  record.set(Field::kKind, Kind::kProcess);
  record.set(Field::kTime, clock_.utc(at_boot_ns));
  record.set(Field::kVantage, Vantage::kSocket);
  record.set(Field::kPid, uint64_t{owner.tgid});
  record.set(Field::kProcessStart, process.start);
  if (process.parent.tgid != 0) {
    record.set(Field::kPpid, uint64_t{process.parent.tgid});
    if (process.parent.start_boot_ns != 0) record.set(Field::kParentStart, clock_.utc(process.parent.start_boot_ns));
  }
  record.set(Field::kComm, comm_of(owner));
  if (program.image) {
    const Image& image = *program.image;
    if (!image.exe.empty()) record.set(Field::kExe, image.exe);
    if (!image.cmdline.empty()) record.set(Field::kCmdline, image.cmdline);
    if (!image.cwd.empty()) record.set(Field::kCwd, image.cwd);
    if (image.redacted > 0) record.set(Field::kRedacted, uint64_t{image.redacted});
  }
  record.set(Field::kUid, uint64_t{owner.uid});
  record.set(Field::kGid, uint64_t{owner.gid});
  const uint64_t now = clock_.boot_now();
  if (const std::string& user = names_.name(owner.uid, now); !user.empty()) record.set(Field::kUser, user);
  if (owner.loginuid != kUnset) {
    record.set(Field::kLoginUid, uint64_t{owner.loginuid});
    if (const std::string& login = names_.name(owner.loginuid, now); !login.empty()) record.set(Field::kLoginUser, login);
  }
  if (owner.session != kUnset) record.set(Field::kAuditSession, uint64_t{owner.session});
  if (const auto place = cgroups_.place(owner.cgroup, owner.cgroup1)) {
    record.set(Field::kCgroup, place->path);
    if (!place->container.empty()) record.set(Field::kContainer, place->container);
    if (containers_ != nullptr && !place->container.empty()) {
      const std::string name = containers_->find(place->container, now);
      if (!name.empty()) record.set(Field::kContainerName, name);
      process.unnamed = name.empty();
    }
    if (!place->pod.empty()) record.set(Field::kPod, place->pod);
  }
}

void Processes::forget_old(uint64_t now_boot_ns) {
  const uint64_t keep = processes_.size() > kProcessesMax ? 0 : kKeepEndedNs;
  // A chain of ended processes goes one generation a call.
  for (auto at = processes_.begin(); at != processes_.end();) {
    const Process& process = at->second;
    if (process.ended_boot_ns == 0 || process.children > 0 || process.ended_boot_ns + keep > now_boot_ns) {
      ++at;
      continue;
    }
    leave(process);
    at = processes_.erase(at);
  }
}

}  // namespace portbook
