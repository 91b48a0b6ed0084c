// Everything that watching a host needs privilege for. What comes back is file descriptors and raw bytes: reading rings, netlink
// messages, /proc files and container descriptions is the caller's work, in a process that may do nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace portbook {

// Sizes of rings: powers of two.
struct ProgramOptions {
  size_t socket_ring_bytes = size_t{64} << 20;
  size_t overflow_bytes = size_t{8} << 20;  // of each of two rings: for what nothing repeats, once the other is full
  size_t process_ring_bytes = size_t{16} << 20;
  size_t datagram_ring_bytes = size_t{16} << 20;
};

// One program that is not attached, and the kernel's reason.
struct MissingProgram {
  std::string name;
  std::string reason;
};

// A map of the loaded programs, for reading it by mmap or by bpf().
struct SharedMap {
  std::string name;  // as in src/capture/bpf/
  FileDescriptor fd;
};

struct LoadedPrograms {
  std::vector<std::string> attached;
  std::vector<MissingProgram> missing;
  std::vector<SharedMap> maps;  // of the objects that were loaded
};

// The netlink families that are watched, with the multicast groups that each is opened with.
enum class NetlinkKind : uint8_t {
  kConntrack,         // NETLINK_NETFILTER: new and destroyed connections
  kRoute,             // NETLINK_ROUTE: links and addresses
  kSocketDiagnostics  // NETLINK_SOCK_DIAG: no group; asking needs no privilege
};

enum class DumpKind : uint8_t { kConntrack, kLinks, kAddresses };

// Bits of what read_process() shall read.
enum ProcessFile : uint32_t {
  kProcessStat = 1u << 0,
  kProcessExe = 1u << 1,
  kProcessCwd = 1u << 2,
  kProcessCmdline = 1u << 3,
  kProcessStatus = 1u << 4,
  kProcessLoginUid = 1u << 5,
  kProcessSessionId = 1u << 6,
  kProcessCgroup = 1u << 7,
};
inline constexpr uint32_t kProcessFilesAll = (1u << 8) - 1;

// Raw bytes of /proc/PID/…, all of the same process. Empty: not asked for, or not to be had. Each is cut at its named maximum in
// process_files.h.
struct ProcessFiles {
  std::string stat;
  std::string exe;  // the link's target
  std::string cwd;  // likewise
  std::string cmdline;
  std::string status;
  std::string loginuid;
  std::string sessionid;
  std::string cgroup;
};

// A process that holds a socket, by the inode number of the socket's file.
struct SocketHolder {
  uint32_t inode = 0;
  uint32_t pid = 0;
};
struct SocketHolders {
  std::vector<SocketHolder> found;
  bool hidden = false;  // some processes' descriptors may not be looked into
};

// Thread-safe; one call at a time is served. Destroying it detaches the programs.
class Operations {
 public:
  virtual ~Operations() = default;

  // Loads and attaches all programs that this kernel accepts; those of an earlier call are detached first.
  // Errors: kDenied, kUnavailable (none could be loaded), with one sentence.
  virtual Result<LoadedPrograms> load_programs(const ProgramOptions& options) = 0;
  virtual void unload_programs() = 0;
  // The names of programs that were attached and that somebody has detached since. A few system calls.
  virtual Result<std::vector<std::string>> find_detached() = 0;
  // Attaches a program that find_detached() names. Errors: kNotFound (no such program was attached), kUnavailable with the reason.
  virtual Status attach_again(std::string_view program) = 0;
  // An iterator of the loaded programs, to be read to its end. `netns`: the network namespace whose sockets an iterator over
  // sockets visits, as find_network_namespaces() gave it; 0: the one that this runs in. Errors: kUnavailable (not loaded),
  // kNotFound and kDenied (namespace), kIo.
  virtual Result<FileDescriptor> open_iterator(std::string_view name, uint32_t netns) = 0;

  // Inode numbers of the network namespaces that a process runs in or a name in /run/netns or /run/docker/netns holds, each once,
  // ascending; at most kNamespacesMax.
  static constexpr size_t kNamespacesMax = 8192;
  virtual Result<std::vector<uint32_t>> find_network_namespaces() = 0;
  // A socket in one of these namespaces, non-blocking, with its kind's groups and with `receive_bytes` of buffer, beyond the
  // system's limit where allowed. Errors: kNotFound (the namespace is gone), kDenied, kUnavailable (the kernel lacks this family),
  // kIo.
  virtual Result<FileDescriptor> open_netlink(uint32_t netns, NetlinkKind kind, int receive_bytes) = 0;
  // Asks for a dump whose messages carry `seq`, on the socket of that kind that open_netlink() made last in that namespace; they
  // arrive at the caller's descriptor. Errors: kNotFound (no such socket), kDenied, kIo.
  virtual Status request_dump(uint32_t netns, DumpKind what, uint32_t seq) = 0;
  // Lets go of what open_netlink() keeps for request_dump(), so that it holds no namespace alive.
  virtual void leave_namespace(uint32_t netns) = 0;
  // Sets nf_conntrack_events, _timestamp and _acct to 1. Returns those that could not be set.
  // Errors: kNotFound, kDenied, kIo (the namespace could not be entered).
  virtual Result<std::vector<std::string>> set_conntrack_settings(uint32_t netns) = 0;

  // `wanted`: bits of ProcessFile. Errors: kNotFound (no such process), kIo.
  virtual Result<ProcessFiles> read_process(uint32_t pid, uint32_t wanted) = 0;
  // Who holds these sockets, at most kSocketsAskedMax of them; those that were not found are absent. Costs a look at each
  // descriptor of the host in the worst case. Errors: kUnavailable.
  static constexpr size_t kSocketsAskedMax = 4096;
  virtual Result<SocketHolders> find_socket_holders(std::span<const uint32_t> inodes) = 0;
  // A regular file in which a container runtime describes a container, open for reading; only paths that runtime_files.h lists.
  // Errors: kBadInput (another path), kNotFound, kDenied, kIo.
  virtual Result<FileDescriptor> open_runtime_file(std::string_view path) = 0;

  // Who carries these operations out and what it was confined to, in words; empty: this process itself.
  virtual std::string carried_out_by() = 0;
  // True once whoever carries these operations out is gone: the programs are detached and every call fails with kUnavailable.
  [[nodiscard]] virtual bool lost() const = 0;
};

// In this process, with the rights that it has. What these do not allow fails with kDenied.
std::unique_ptr<Operations> make_direct_operations();

}  // namespace portbook
