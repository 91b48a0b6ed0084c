// The operations in this process: each is what the kernel lets it do.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "privilege/kernel_loader.h"
#include "privilege/netlink.h"
#include "privilege/network_namespaces.h"
#include "privilege/operations.h"
#include "privilege/process_files.h"
#include "privilege/runtime_files.h"
#include "privilege/socket_holders.h"

namespace portbook {

namespace {

// Writes "1" into a setting of the calling thread's namespace.
bool set_to_one(const std::string& name) {
  const FileDescriptor fd(open(("/proc/sys/net/netfilter/" + name).c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return false;
  char value = 0;
  return (pread(fd.get(), &value, 1, 0) == 1 && value == '1') || pwrite(fd.get(), "1\n", 2, 0) == 2;
}

class DirectOperations final : public Operations {
 public:
  Result<LoadedPrograms> load_programs(const ProgramOptions& options) override {
    const std::lock_guard lock(mutex_);
    return programs_.load(options);
  }
  void unload_programs() override {
    const std::lock_guard lock(mutex_);
    programs_.unload();
  }
  Result<std::vector<std::string>> find_detached() override {
    const std::lock_guard lock(mutex_);
    return programs_.find_detached();
  }
  Status attach_again(std::string_view program) override {
    const std::lock_guard lock(mutex_);
    return programs_.attach_again(program);
  }
  Result<FileDescriptor> open_iterator(std::string_view name, uint32_t netns) override {
    const std::lock_guard lock(mutex_);
    if (netns == 0) return programs_.open_iterator(name);
    return within(netns, [&] { return programs_.open_iterator(name); });
  }

  Result<std::vector<uint32_t>> find_network_namespaces() override {
    const std::lock_guard lock(mutex_);
    auto paths = find_namespace_paths();
    if (!paths.has_value()) return std::unexpected(paths.error());
    paths_ = std::move(*paths);
    std::vector<uint32_t> found;
    for (const auto& [netns, path] : paths_) {
      if (found.size() < kNamespacesMax) found.push_back(netns);
    }
    return found;
  }
  Result<FileDescriptor> open_netlink(uint32_t netns, NetlinkKind kind, int receive_bytes) override {
    const std::lock_guard lock(mutex_);
    auto opened = within(netns, [&] { return open_netlink_socket(kind, receive_bytes); });
    if (!opened.has_value() || kind == NetlinkKind::kSocketDiagnostics) return opened;
    FileDescriptor kept(fcntl(opened->get(), F_DUPFD_CLOEXEC, 0));
    if (!kept.valid()) return fail(ErrorCode::kIo, std::string("netlink socket: ") + std::strerror(errno));
    sockets_[{netns, kind}] = std::move(kept);
    return opened;
  }
  Status request_dump(uint32_t netns, DumpKind what, uint32_t seq) override {
    const std::lock_guard lock(mutex_);
    const auto kept = sockets_.find({netns, kind_of(what)});
    if (kept == sockets_.end()) return fail(ErrorCode::kNotFound, "netlink dump: this namespace is not watched");
    return send_dump_request(kept->second.get(), what, seq);
  }
  void leave_namespace(uint32_t netns) override {
    const std::lock_guard lock(mutex_);
    std::erase_if(sockets_, [&](const auto& entry) { return entry.first.first == netns; });
  }
  Result<std::vector<std::string>> set_conntrack_settings(uint32_t netns) override {
    const std::lock_guard lock(mutex_);
    return within(netns, []() -> Result<std::vector<std::string>> {
      std::vector<std::string> missing;
      for (const char* name : {"nf_conntrack_events", "nf_conntrack_timestamp", "nf_conntrack_acct"}) {
        if (!set_to_one(name)) missing.emplace_back(name);
      }
      return missing;
    });
  }

  Result<ProcessFiles> read_process(uint32_t pid, uint32_t wanted) override { return read_process_files(pid, wanted); }
  Result<SocketHolders> find_socket_holders(std::span<const uint32_t> inodes) override {
    const std::lock_guard lock(holders_mutex_);  // may take long, and within this process the rest need not wait
    return holders_.find(inodes);
  }
  Result<FileDescriptor> open_runtime_file(std::string_view path) override { return open_listed_runtime_file(path); }
  std::string carried_out_by() override { return {}; }
  [[nodiscard]] bool lost() const override { return false; }

 private:
  template <typename Work>
  std::invoke_result_t<Work> within(uint32_t netns, const Work& work) {
    const auto path = paths_.find(netns);
    if (path == paths_.end()) return fail(ErrorCode::kNotFound, "network namespace " + std::to_string(netns) + " is not known");
    std::invoke_result_t<Work> result;
    const Status entered = in_network_namespace(path->second, netns, [&]() -> Status {
      result = work();
      return {};
    });
    if (!entered.has_value()) return std::unexpected(entered.error());
    return result;
  }

  std::mutex mutex_;
  KernelLoader programs_;
  std::map<uint32_t, std::string> paths_;  // of the last search
  std::map<std::pair<uint32_t, NetlinkKind>, FileDescriptor> sockets_;
  std::mutex holders_mutex_;
  SocketHolderSearch holders_;
};

}  // namespace

std::unique_ptr<Operations> make_direct_operations() {
  return std::make_unique<DirectOperations>();
}

}  // namespace portbook
