#include "capture/kernel_programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "processes.skel.h"
#include "sockets.skel.h"

namespace portbook {

namespace {

struct CloseLink {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
struct CloseRing {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};
template <typename Skeleton>
struct CloseSkeleton {
  void operator()(Skeleton* skeleton) const { Skeleton::destroy(skeleton); }
};
template <typename Skeleton>
using SkeletonPtr = std::unique_ptr<Skeleton, CloseSkeleton<Skeleton>>;

// libbpf says why a program failed only in its log: the kernel's verdict is the last line that is not about bookkeeping.
thread_local std::string last_complaint;  // NOLINT: libbpf's callback takes no context

int keep_complaint(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 2048> line{};
  const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
  std::string_view text(line.data(), std::min<size_t>(length > 0 ? static_cast<size_t>(length) : 0, line.size() - 1));
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (last_complaint.empty()) last_complaint = text;
  return 0;
}

std::string reason_of(int error) {
  std::string reason = std::strerror(error);
  if (error == EPERM) reason = "not permitted (needs root, or CAP_BPF with CAP_PERFMON and CAP_NET_ADMIN)";
  if (!last_complaint.empty()) reason += " (" + std::exchange(last_complaint, {}) + ")";
  return reason;
}

// Index in css_set.subsys of a version 1 controller; -1 when the kernel does not name it.
int subsystem_index(const std::string& controller) {
  if (controller.empty()) return -1;
  btf* types = btf__load_vmlinux_btf();
  if (types == nullptr) return -1;
  int index = -1;
  const int id = btf__find_by_name_kind(types, "cgroup_subsys_id", BTF_KIND_ENUM);
  if (id > 0) {
    const btf_type* type = btf__type_by_id(types, static_cast<uint32_t>(id));
    const struct btf_enum* values = btf_enum(type);
    for (int i = 0; i < btf_vlen(type); ++i) {
      if (controller + "_cgrp_id" == btf__name_by_offset(types, values[i].name_off)) index = values[i].val;
    }
  }
  btf__free(types);
  return index;
}

bool is_iterator(const bpf_program* program) {
  return std::string_view(bpf_program__section_name(program)).starts_with("iter/");
}
bool needs_cgroup(const bpf_program* program) {
  const std::string_view section = bpf_program__section_name(program);
  return section.starts_with("cgroup/") || section == "sockops";
}

// Loads a skeleton as a whole, or, where the kernel refuses that, with only the programs that it accepts one by one.
template <typename Skeleton>
SkeletonPtr<Skeleton> load_what_works(const std::function<void(Skeleton&)>& configure, bool with_cgroup,
                                      std::vector<MissingProgram>& missing) {
  auto open_with = [&](const std::function<bool(const char*)>& wanted) {
    SkeletonPtr<Skeleton> skeleton(Skeleton::open());
    if (!skeleton) return skeleton;
    configure(*skeleton);
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) bpf_program__set_autoload(program, wanted(bpf_program__name(program)));
    return skeleton;
  };
  std::vector<std::string> names;
  {
    SkeletonPtr<Skeleton> skeleton(Skeleton::open());
    if (!skeleton) {
      missing.push_back({"all", reason_of(errno)});
      return nullptr;
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      if (needs_cgroup(program) && !with_cgroup) {
        missing.push_back({bpf_program__name(program), "cgroup2 is not mounted"});
      } else {
        names.emplace_back(bpf_program__name(program));
      }
    }
  }
  auto wanted = [&](const char* name) { return std::ranges::find(names, name) != names.end(); };
  last_complaint.clear();
  SkeletonPtr<Skeleton> whole = open_with(wanted);
  if (whole && Skeleton::load(whole.get()) == 0) return whole;
  // Feature lists lie: only a real load tells.
  std::vector<std::string> accepted;
  for (const std::string& name : names) {
    last_complaint.clear();
    SkeletonPtr<Skeleton> alone = open_with([&](const char* candidate) { return name == candidate; });
    const int error = alone ? -Skeleton::load(alone.get()) : errno;
    if (error == 0) {
      accepted.push_back(name);
    } else {
      missing.push_back({name, reason_of(error)});
    }
  }
  names = accepted;
  if (names.empty()) return nullptr;
  SkeletonPtr<Skeleton> rest = open_with(wanted);
  if (rest && Skeleton::load(rest.get()) == 0) return rest;
  missing.push_back({"all", reason_of(errno)});
  return nullptr;
}

struct Attached {
  std::string name;
  std::unique_ptr<bpf_link, CloseLink> link;
  bool cgroup;
};

void attach_all(bpf_object* object, int cgroup_fd, std::vector<Attached>& attached, std::vector<MissingProgram>& missing) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    if (!bpf_program__autoload(program) || is_iterator(program)) continue;
    last_complaint.clear();
    bpf_link* link = needs_cgroup(program) ? bpf_program__attach_cgroup(program, cgroup_fd) : bpf_program__attach(program);
    if (link == nullptr) {
      missing.push_back({bpf_program__name(program), reason_of(errno)});
    } else {
      attached.push_back({bpf_program__name(program), std::unique_ptr<bpf_link, CloseLink>(link), needs_cgroup(program)});
    }
  }
}

// Opens an iterator of a loaded program and hands `take` each whole struct of `size` bytes.
Status iterate(bpf_program* program, const bpf_iter_attach_opts* options, size_t size,
               const std::function<void(const char*)>& take) {
  const std::string name = bpf_program__name(program);
  if (bpf_program__fd(program) < 0) return fail(ErrorCode::kUnavailable, name + " is not loaded");
  const std::unique_ptr<bpf_link, CloseLink> link(bpf_program__attach_iter(program, options));
  if (!link) return fail(ErrorCode::kUnavailable, name + ": " + reason_of(errno));
  const int fd = bpf_iter_create(bpf_link__fd(link.get()));
  if (fd < 0) return fail(ErrorCode::kUnavailable, name + ": " + reason_of(errno));
  std::vector<char> buffer(size * 256);
  size_t held = 0;
  ssize_t got = 0;
  while ((got = read(fd, buffer.data() + held, buffer.size() - held)) > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) {
    if (got < 0) continue;
    held += static_cast<size_t>(got);
    size_t at = 0;
    for (; at + size <= held; at += size) take(buffer.data() + at);
    std::memmove(buffer.data(), buffer.data() + at, held - at);
    held -= at;
  }
  const int error = errno;
  close(fd);
  if (got < 0) return fail(ErrorCode::kIo, name + ": " + std::strerror(error));
  return {};
}

// One ring and what libbpf's callback needs: it may stop after so many events.
template <typename Take>
struct Drain {
  const Take* take = nullptr;
  size_t left = 0;
};

class LoadedPrograms final : public KernelPrograms {
 public:
  static Result<std::unique_ptr<KernelPrograms>> load_all(const KernelProgramsOptions& options) {
    auto programs = std::make_unique<LoadedPrograms>();
    libbpf_set_print(keep_complaint);
    const int subsystem = subsystem_index(options.cgroups.version1_controller);
    const bool with_cgroup = !options.cgroups.version2.empty();
    programs->sockets_ = load_what_works<sockets_bpf>(
        [&](sockets_bpf& skeleton) {
          skeleton.rodata->pb_cgroup1_subsystem = subsystem;
          bpf_map__set_max_entries(skeleton.maps.socket_ring, static_cast<uint32_t>(options.socket_ring_bytes));
        },
        with_cgroup, programs->missing_);
    programs->processes_ = load_what_works<processes_bpf>(
        [&](processes_bpf& skeleton) {
          skeleton.rodata->pb_cgroup1_subsystem = subsystem;
          skeleton.rodata->pb_cgroup1_hierarchy = subsystem < 0 ? 0 : options.cgroups.version1_hierarchy;
          bpf_map__set_max_entries(skeleton.maps.process_ring, static_cast<uint32_t>(options.process_ring_bytes));
        },
        true, programs->missing_);
    if (!programs->sockets_ && !programs->processes_) {
      const std::string reason = programs->missing_.empty() ? "unknown" : programs->missing_.back().reason;
      return fail(reason.find("not permitted") != std::string::npos ? ErrorCode::kDenied : ErrorCode::kUnavailable,
                  "kernel programs cannot be loaded: " + reason);
    }
    programs->attach(options.cgroups.version2);
    const Status rings = programs->open_rings();
    if (!rings.has_value()) return std::unexpected(rings.error());
    return programs;
  }

  [[nodiscard]] const std::vector<MissingProgram>& missing() const override { return missing_; }

  [[nodiscard]] bool attached(std::string_view program) const override {
    return std::ranges::any_of(attached_, [&](const Attached& one) { return one.name == program; });
  }

  bool drain_sockets(size_t maximum, const TakeSocket& take) override {
    if (!socket_ring_) return true;
    socket_drain_ = {&take, maximum};
    return ring_buffer__consume(socket_ring_.get()) >= 0;
  }

  bool drain_processes(size_t maximum, const TakeProcess& take) override {
    if (!process_ring_) return true;
    process_drain_ = {&take, maximum};
    return ring_buffer__consume(process_ring_.get()) >= 0;
  }

  void drain_overflow(const TakeSocket& take) override {
    if (!sockets_) return;
    pb_socket_event event;
    while (bpf_map_lookup_and_delete_elem(bpf_map__fd(sockets_->maps.overflow), nullptr, &event) == 0) take(event);
  }

  std::span<const uint64_t> socket_events_given() override {
    return given(sockets_ ? sockets_->bss->socket_counters : nullptr, socket_given_);
  }
  std::span<const uint64_t> process_events_given() override {
    return given(processes_ ? processes_->bss->process_counters : nullptr, process_given_);
  }

  [[nodiscard]] Totals totals() const override {
    Totals sum;
    for (size_t cpu = 0; cpu < cpus_; ++cpu) {
      if (!sockets_) break;
      const auto& counters = sockets_->bss->socket_counters[cpu];
      sum.parked += __atomic_load_n(&counters.parked, __ATOMIC_RELAXED);
      sum.lost += __atomic_load_n(&counters.lost, __ATOMIC_RELAXED);
      sum.unnamed += __atomic_load_n(&counters.unnamed, __ATOMIC_RELAXED);
    }
    return sum;
  }

  Status list_processes(const TakeProcess& take) override {
    if (!processes_) return fail(ErrorCode::kUnavailable, "process programs are not loaded");
    return iterate(processes_->progs.list_processes, nullptr, sizeof(pb_process_event),
                   [&](const char* bytes) { take({bytes, sizeof(pb_process_event)}); });
  }
  Status find_owners() override {
    if (!sockets_) return fail(ErrorCode::kUnavailable, "socket programs are not loaded");
    return iterate(sockets_->progs.find_owners, nullptr, 1, [](const char*) {});
  }
  Status list_sockets(const TakeSocket& take) override {
    if (!sockets_) return fail(ErrorCode::kUnavailable, "socket programs are not loaded");
    return iterate(sockets_->progs.list_sockets, nullptr, sizeof(pb_socket_event), taker(take));
  }
  Status list_alive(const TakeSocket& take) override {
    if (!sockets_) return fail(ErrorCode::kUnavailable, "socket programs are not loaded");
    bpf_iter_link_info about{};
    about.map.map_fd = static_cast<uint32_t>(bpf_map__fd(sockets_->maps.sockets));
    bpf_iter_attach_opts options{};
    options.sz = sizeof options;
    options.link_info = &about;
    options.link_info_len = sizeof about;
    return iterate(sockets_->progs.list_alive, &options, sizeof(pb_socket_event), taker(take));
  }

  std::vector<std::string> find_detached() override {
    std::vector<std::string> detached;
    for (const Attached& one : attached_) {
      bpf_link_info about{};
      uint32_t size = sizeof about;
      const bool known = bpf_obj_get_info_by_fd(bpf_link__fd(one.link.get()), &about, &size) == 0;
      if (!known || (one.cgroup && about.cgroup.cgroup_id == 0)) detached.push_back(one.name);
    }
    return detached;
  }

 private:
  static std::function<void(const char*)> taker(const TakeSocket& take) {
    return [&take](const char* bytes) {
      pb_socket_event event;
      std::memcpy(&event, bytes, sizeof event);
      take(event);
    };
  }

  void attach(const std::string& cgroup_root) {
    const int cgroup_fd = cgroup_root.empty() ? -1 : open(cgroup_root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    // Processes first: a socket's event must find its process.
    if (processes_) attach_all(processes_->obj, cgroup_fd, attached_, missing_);
    if (sockets_) attach_all(sockets_->obj, cgroup_fd, attached_, missing_);
    if (sockets_) sockets_->bss->pb_use_state_callback = attached("on_state") ? 0 : 1;
    if (cgroup_fd >= 0) close(cgroup_fd);
  }

  Status open_rings() {
    if (sockets_) {
      socket_ring_.reset(ring_buffer__new(bpf_map__fd(sockets_->maps.socket_ring), take_socket, &socket_drain_, nullptr));
      if (!socket_ring_) return fail(ErrorCode::kIo, "the socket ring cannot be mapped: " + reason_of(errno));
    }
    if (processes_) {
      process_ring_.reset(ring_buffer__new(bpf_map__fd(processes_->maps.process_ring), take_process, &process_drain_, nullptr));
      if (!process_ring_) return fail(ErrorCode::kIo, "the process ring cannot be mapped: " + reason_of(errno));
    }
    return {};
  }

  // A negative answer makes libbpf stop, with this event taken.
  static int take_socket(void* context, void* data, size_t size) {
    auto& drain = *static_cast<Drain<TakeSocket>*>(context);
    if (size >= sizeof(pb_socket_event)) (*drain.take)(*static_cast<const pb_socket_event*>(data));
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
  SkeletonPtr<sockets_bpf> sockets_;
  SkeletonPtr<processes_bpf> processes_;
  std::vector<Attached> attached_;
  std::vector<MissingProgram> missing_;
  Drain<TakeSocket> socket_drain_;
  Drain<TakeProcess> process_drain_;
  std::unique_ptr<ring_buffer, CloseRing> socket_ring_;
  std::unique_ptr<ring_buffer, CloseRing> process_ring_;
  std::vector<uint64_t> socket_given_;
  std::vector<uint64_t> process_given_;
};

}  // namespace

Result<std::unique_ptr<KernelPrograms>> KernelPrograms::load(const KernelProgramsOptions& options) {
  return LoadedPrograms::load_all(options);
}

}  // namespace portbook
