#include "privilege/kernel_loader.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <functional>
#include <utility>

#include "capture/bpf/events.h"
#include "datagrams.skel.h"
#include "privilege/cgroup_mounts.h"
#include "processes.skel.h"
#include "sockets.skel.h"

namespace portbook {

namespace {

struct CloseLink {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using LinkPtr = std::unique_ptr<bpf_link, CloseLink>;
template <typename Skeleton>
struct CloseSkeleton {
  void operator()(Skeleton* skeleton) const { Skeleton::destroy(skeleton); }
};
template <typename Skeleton>
using SkeletonPtr = std::unique_ptr<Skeleton, CloseSkeleton<Skeleton>>;

// The maps that a reader of the programs needs.
constexpr auto kSharedMaps = std::to_array<const char*>(
    {"socket_ring", "overflow", ".data.socket_counters", "process_ring", ".data.process_counters", "datagram_ring",
     "datagram_overflow", ".data.datagram_counters", ".data.datagram_sweep", "peers", "peers_ended"});

// Programs that are attached only where another one is not.
constexpr auto kFallbacks = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"on_datagram_receive4", "on_datagram_receive"}, {"on_datagram_receive6", "on_datagram_receive"}});

// Iterators over the entries of a map, and which one.
constexpr auto kMapIterators = std::to_array<std::pair<std::string_view, const char*>>({{"list_alive", "sockets"},
                                                                                        {"list_cookies", "sockets"},
                                                                                        {"sweep_first_peers", "datagram_sockets"},
                                                                                        {"sweep_map_peers", "peers"}});

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
  if (error == EPERM)
    reason =
        "not permitted (needs root with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and no filter of system calls that refuses bpf())";
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
  return section.starts_with("cgroup") || section == "sockops";
}

// A program that is not loaded by default stands in for the one whose name it extends, where the kernel lacks that.
constexpr std::string_view kStandIn = "_entry";

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
  std::vector<std::string> stand_ins;
  {
    SkeletonPtr<Skeleton> skeleton(Skeleton::open());
    if (!skeleton) {
      missing.push_back({"all", reason_of(errno)});
      return nullptr;
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      if (!bpf_program__autoload(program)) {
        stand_ins.emplace_back(bpf_program__name(program));
      } else if (needs_cgroup(program) && !with_cgroup) {
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
  auto refusal_of = [&](const std::string& name) {
    last_complaint.clear();
    SkeletonPtr<Skeleton> alone = open_with([&](const char* candidate) { return name == candidate; });
    return alone ? -Skeleton::load(alone.get()) : errno;
  };
  std::vector<std::string> accepted;
  for (const std::string& name : names) {
    const int error = refusal_of(name);
    if (error == 0) {
      accepted.push_back(name);
    } else {
      missing.push_back({name, reason_of(error)});
    }
  }
  for (const std::string& name : stand_ins) {
    const auto lacking = std::ranges::find(missing, name.substr(0, name.size() - kStandIn.size()), &MissingProgram::name);
    if (lacking == missing.end() || refusal_of(name) != 0) continue;
    missing.erase(lacking);
    accepted.push_back(name);
  }
  names = accepted;
  if (names.empty()) return nullptr;
  SkeletonPtr<Skeleton> rest = open_with(wanted);
  if (rest && Skeleton::load(rest.get()) == 0) return rest;
  missing.push_back({"all", reason_of(errno)});
  return nullptr;
}

}  // namespace

struct KernelLoader::Loaded {
  struct Attached {
    std::string name;
    bpf_program* program;
    LinkPtr link;
  };

  SkeletonPtr<processes_bpf> processes;
  SkeletonPtr<sockets_bpf> sockets;
  SkeletonPtr<datagrams_bpf> datagrams;
  std::string cgroup_root;
  std::vector<Attached> attached;  // before the skeletons are destroyed
  std::vector<MissingProgram> missing;

  // Processes first: a socket's event must find its process.
  [[nodiscard]] std::vector<bpf_object*> objects() const {
    std::vector<bpf_object*> objects;
    if (processes) objects.push_back(processes->obj);
    if (sockets) objects.push_back(sockets->obj);
    if (datagrams) objects.push_back(datagrams->obj);
    return objects;
  }

  [[nodiscard]] LinkPtr attach(const bpf_program* program) const {
    last_complaint.clear();
    if (!needs_cgroup(program)) return LinkPtr(bpf_program__attach(program));
    const FileDescriptor cgroup(open(cgroup_root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return LinkPtr(bpf_program__attach_cgroup(program, cgroup.get()));
  }

  void attach_all() {
    for (bpf_object* object : objects()) {
      bpf_program* program = nullptr;
      bpf_object__for_each_program(program, object) {
        if (!bpf_program__autoload(program) || is_iterator(program) || !is_needed(bpf_program__name(program))) continue;
        LinkPtr link = attach(program);
        if (link) {
          attached.push_back({bpf_program__name(program), program, std::move(link)});
        } else {
          missing.push_back({bpf_program__name(program), reason_of(errno)});
        }
      }
    }
  }

  // Of a fallback: whether what it stands for is missing. That one stands before it in its object.
  [[nodiscard]] bool is_needed(std::string_view name) const {
    const auto fallback = std::ranges::find(kFallbacks, name, &std::pair<std::string_view, std::string_view>::first);
    return fallback == kFallbacks.end() || !is_attached(fallback->second);
  }

  [[nodiscard]] bool is_attached(std::string_view name) const {
    return std::ranges::any_of(attached, [&](const Attached& one) { return one.name == name; });
  }

  [[nodiscard]] bpf_program* find_program(const std::string& name) const {
    for (const bpf_object* object : objects()) {
      if (bpf_program* program = bpf_object__find_program_by_name(object, name.c_str())) return program;
    }
    return nullptr;
  }

  [[nodiscard]] int find_map(const char* name) const {
    for (const bpf_object* object : objects()) {
      const int fd = bpf_object__find_map_fd_by_name(object, name);
      if (fd >= 0) return fd;
    }
    return -1;
  }
};

KernelLoader::KernelLoader() = default;
KernelLoader::~KernelLoader() = default;

Result<LoadedPrograms> KernelLoader::load(const ProgramOptions& options) {
  unload();
  libbpf_set_print(keep_complaint);
  const CgroupMounts mounts = read_cgroup_mounts();
  const int subsystem = subsystem_index(mounts.version1_controller);
  auto loaded = std::make_unique<Loaded>();
  loaded->cgroup_root = mounts.version2;
  loaded->sockets = load_what_works<sockets_bpf>(
      [&](sockets_bpf& skeleton) {
        skeleton.rodata->pb_cgroup1_subsystem = subsystem;
        bpf_map__set_max_entries(skeleton.maps.socket_ring, static_cast<uint32_t>(options.socket_ring_bytes));
        bpf_map__set_max_entries(skeleton.maps.overflow, static_cast<uint32_t>(options.overflow_bytes));
      },
      !mounts.version2.empty(), loaded->missing);
  loaded->datagrams = load_what_works<datagrams_bpf>(
      [&](datagrams_bpf& skeleton) {
        skeleton.rodata->pb_cgroup1_subsystem = subsystem;
        bpf_map__set_max_entries(skeleton.maps.datagram_ring, static_cast<uint32_t>(options.datagram_ring_bytes));
        bpf_map__set_max_entries(skeleton.maps.datagram_overflow, static_cast<uint32_t>(options.overflow_bytes));
      },
      !mounts.version2.empty(), loaded->missing);
  loaded->processes = load_what_works<processes_bpf>(
      [&](processes_bpf& skeleton) {
        skeleton.rodata->pb_cgroup1_subsystem = subsystem;
        skeleton.rodata->pb_cgroup1_hierarchy = subsystem < 0 ? 0 : mounts.version1_hierarchy;
        bpf_map__set_max_entries(skeleton.maps.process_ring, static_cast<uint32_t>(options.process_ring_bytes));
      },
      true, loaded->missing);
  if (loaded->objects().empty()) {
    const std::string reason = loaded->missing.empty() ? "unknown" : loaded->missing.back().reason;
    return fail(reason.find("not permitted") != std::string::npos ? ErrorCode::kDenied : ErrorCode::kUnavailable,
                "kernel programs cannot be loaded: " + reason);
  }
  loaded->attach_all();
  if (loaded->sockets) loaded->sockets->bss->pb_use_state_callback = loaded->is_attached("on_state") ? 0 : 1;
  LoadedPrograms result;
  for (const Loaded::Attached& one : loaded->attached) result.attached.push_back(one.name);
  result.missing = loaded->missing;
  for (const char* name : kSharedMaps) {
    FileDescriptor fd(fcntl(loaded->find_map(name), F_DUPFD_CLOEXEC, 0));
    if (fd.valid()) result.maps.push_back({name, std::move(fd)});
  }
  loaded_ = std::move(loaded);
  return result;
}

void KernelLoader::unload() {
  loaded_.reset();
}

std::vector<std::string> KernelLoader::find_detached() const {
  std::vector<std::string> detached;
  if (!loaded_) return detached;
  for (const Loaded::Attached& one : loaded_->attached) {
    bpf_link_info about{};
    uint32_t size = sizeof about;
    const bool known = one.link && bpf_obj_get_info_by_fd(bpf_link__fd(one.link.get()), &about, &size) == 0;
    if (!known || (needs_cgroup(one.program) && about.cgroup.cgroup_id == 0)) detached.push_back(one.name);
  }
  return detached;
}

Status KernelLoader::attach_again(std::string_view program) {
  if (!loaded_) return fail(ErrorCode::kNotFound, "no kernel programs are loaded");
  const auto one = std::ranges::find(loaded_->attached, program, &Loaded::Attached::name);
  if (one == loaded_->attached.end()) return fail(ErrorCode::kNotFound, std::string(program) + " was not attached");
  one->link.reset();
  one->link = loaded_->attach(one->program);
  if (!one->link) return fail(ErrorCode::kUnavailable, std::string(program) + ": " + reason_of(errno));
  return {};
}

Result<FileDescriptor> KernelLoader::open_iterator(std::string_view name) {
  const std::string text(name);
  const bpf_program* program = loaded_ ? loaded_->find_program(text) : nullptr;
  if (program == nullptr || !is_iterator(program) || bpf_program__fd(program) < 0)
    return fail(ErrorCode::kUnavailable, text + " is not loaded");
  bpf_iter_link_info about{};
  bpf_iter_attach_opts options{};
  options.sz = sizeof options;
  for (const auto& [iterator, map] : kMapIterators) {
    if (iterator != name) continue;
    about.map.map_fd = static_cast<uint32_t>(loaded_->find_map(map));
    options.link_info = &about;
    options.link_info_len = sizeof about;
  }
  last_complaint.clear();
  const LinkPtr link(bpf_program__attach_iter(program, options.link_info == nullptr ? nullptr : &options));
  if (!link) return fail(ErrorCode::kUnavailable, text + ": " + reason_of(errno));
  FileDescriptor fd(bpf_iter_create(bpf_link__fd(link.get())));
  if (!fd.valid()) return fail(ErrorCode::kUnavailable, text + ": " + reason_of(errno));
  return fd;
}

}  // namespace portbook
