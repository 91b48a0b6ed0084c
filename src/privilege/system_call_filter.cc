#include "privilege/system_call_filter.h"

#include <linux/bpf.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "base/check.h"

namespace portbook {

namespace {

// What every part needs: memory, threads, time, descriptors that it has, reading files.
constexpr const char* kEverywhere[] = {
    // memory
    "munmap", "mremap", "madvise", "brk",
    // threads and signals to oneself
    "futex", "set_robust_list", "rseq", "exit", "exit_group", "sched_yield", "sched_getaffinity", "gettid", "getpid",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "restart_syscall", "membarrier", "getcpu",
    // time, chance, limits, names
    "clock_gettime", "clock_getres", "adjtimex", "clock_adjtime", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
    "getrandom", "uname", "sysinfo", "getuid", "geteuid", "getgid", "getegid", "getppid", "getrlimit", "getcwd",
    // waiting
    "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2",
    "signalfd4", "timerfd_create", "timerfd_settime", "timerfd_gettime",
    // descriptors
    "read", "write", "readv", "writev", "pread64", "pwrite64", "lseek", "close", "fcntl", "fstat", "newfstatat", "stat", "lstat",
    "statx", "fstatfs", "statfs", "dup", "dup2", "dup3", "pipe2", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
    "getdents64", "fadvise64",
    // messages on sockets
    "recvmsg", "recvfrom", "recvmmsg", "getsockopt", "setsockopt", "getsockname", "getpeername", "shutdown"};

// Folders of one's own.
constexpr const char* kOwnFiles[] = {"unlink",    "unlinkat", "rmdir", "rename",    "renameat", "renameat2", "ftruncate",
                                     "fallocate", "fsync",    "flock", "fdatasync", "preadv",   "pwritev",   "sync_file_range"};

constexpr const char* kAgentOnly[] = {"connect", "inotify_init1", "inotify_add_watch", "inotify_rm_watch"};
constexpr const char* kAccepting[] = {"accept", "accept4"};
constexpr const char* kHelperOnly[] = {"bpf", "setns", "bind"};

// Comparisons of a call's argument, counted from 0.
scmp_arg_cmp equals(unsigned argument, auto value) {
  return {argument, SCMP_CMP_EQ, static_cast<scmp_datum_t>(value), 0};
}
scmp_arg_cmp is_above(unsigned argument, auto value) {
  return {argument, SCMP_CMP_GT, static_cast<scmp_datum_t>(value), 0};
}
scmp_arg_cmp has_bits(unsigned argument, auto mask, auto bits) {
  return {argument, SCMP_CMP_MASKED_EQ, static_cast<scmp_datum_t>(mask), static_cast<scmp_datum_t>(bits)};
}

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};

// Collects rules; keeps the first error.
class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_KILL_PROCESS)) {
    if (!context_) return;
    keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
    keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1));
    keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));  // a tree: every call passes it
  }

  // Calls that this architecture does not have are left out.
  template <typename... Comparisons>
  void add(uint32_t action, const char* name, Comparisons... comparisons) {
    const int number = seccomp_syscall_resolve_name(name);
    PB_CHECK(number != __NR_SCMP_ERROR);
    if (!context_ || number < 0) return;
    keep(seccomp_rule_add(context_.get(), action, number, sizeof...(comparisons), comparisons...));
  }
  void allow(std::span<const char* const> names) {
    for (const char* name : names) add(SCMP_ACT_ALLOW, name);
  }

  Status load() {
    if (!context_) return fail(ErrorCode::kIo, "a filter for system calls cannot be made");
    keep(seccomp_load(context_.get()));
    if (error_ == 0) return {};
    const bool lacking = error_ == -EINVAL || error_ == -ENOSYS || error_ == -ECANCELED;
    return fail(lacking ? ErrorCode::kUnavailable : ErrorCode::kIo,
                std::string("the filter for system calls cannot be put into force: ") + std::strerror(-error_));
  }

 private:
  void keep(int error) {
    if (error_ == 0) error_ = error;
  }
  std::unique_ptr<void, Release> context_;
  int error_ = 0;
};

void add_memory(Filter& filter) {
  // Executable memory is refused with an error: a name service module that is loaded late is done without.
  for (const char* name : {"mmap", "mprotect"}) {
    filter.add(SCMP_ACT_ALLOW, name, has_bits(2, PROT_EXEC, 0));
    filter.add(SCMP_ACT_ERRNO(EACCES), name, has_bits(2, PROT_EXEC, PROT_EXEC));
  }
}

void add_threads(Filter& filter) {
  // Threads, no processes. clone3's flags cannot be seen; the C library falls back to clone.
  filter.add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
  filter.add(SCMP_ACT_ALLOW, "clone", has_bits(0, CLONE_THREAD, CLONE_THREAD));
  filter.add(SCMP_ACT_ALLOW, "tgkill", equals(0, getpid()));
  // Own limits are read, not set.
  filter.add(SCMP_ACT_ALLOW, "prlimit64", equals(0, 0), equals(2, 0));
  for (const int option : {PR_SET_NAME, PR_GET_NAME}) filter.add(SCMP_ACT_ALLOW, "prctl", equals(0, option));
  // Non-blocking sockets; whether the output is a terminal.
  for (const int request : {FIONBIO, FIONREAD, TCGETS, TIOCGWINSZ}) {
    filter.add(SCMP_ACT_ALLOW, "ioctl", equals(1, request));
  }
}

// Files are opened and folders made, and never such that whoever runs them later becomes their owner.
void add_files(Filter& filter, bool own_files) {
  struct Call {
    const char* name;
    unsigned mode;  // which argument; the C library passes 0 where nothing is made
    bool own_files;
  };
  for (const Call& call : {Call{"open", 2, false}, Call{"openat", 3, false}, Call{"mkdir", 1, true}, Call{"mkdirat", 2, true}}) {
    if (own_files || !call.own_files) filter.add(SCMP_ACT_ALLOW, call.name, has_bits(call.mode, S_ISUID | S_ISGID, 0));
  }
}

// The start of a sender sets the mode of its spool.
void add_modes(Filter& filter) {
  for (const char* name : {"chmod", "fchmod"}) filter.add(SCMP_ACT_ALLOW, name, has_bits(1, S_ISUID | S_ISGID, 0));
  filter.add(SCMP_ACT_ALLOW, "fchmodat", has_bits(2, S_ISUID | S_ISGID, 0));
}

// Bytes are sent on sockets that are connected; MSG_FASTOPEN would connect one.
void add_sending(Filter& filter) {
  struct Call {
    const char* name;
    unsigned flags;  // which argument
  };
  for (const Call& call : {Call{"sendto", 3}, Call{"sendmsg", 2}, Call{"sendmmsg", 3}})
    filter.add(SCMP_ACT_ALLOW, call.name, has_bits(call.flags, MSG_FASTOPEN, 0));
}

// `netlink`: the one protocol; negative: none. Other families are refused with an error: name services try them and do without.
void add_sockets(Filter& filter, bool unix_domain, int netlink) {
  filter.add(SCMP_ACT_ERRNO(EACCES), "socket", is_above(0, AF_NETLINK));
  for (int family = 0; family <= AF_NETLINK; ++family) {
    if (family == AF_UNIX && unix_domain) {
      filter.add(SCMP_ACT_ALLOW, "socket", equals(0, AF_UNIX));
    } else if (family == AF_NETLINK && netlink >= 0) {
      filter.add(SCMP_ACT_ALLOW, "socket", equals(0, AF_NETLINK), equals(2, netlink));
    } else {
      filter.add(SCMP_ACT_ERRNO(EACCES), "socket", equals(0, family));
    }
  }
}

}  // namespace

Status restrict_system_calls(Part part) {
  Filter filter;
  filter.allow(kEverywhere);
  add_memory(filter);
  add_threads(filter);
  add_files(filter, part != Part::kHelper && part != Part::kConnector);
  add_sending(filter);
  switch (part) {
    case Part::kHelper:
      filter.allow(kHelperOnly);
      for (const int protocol : {NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_SOCK_DIAG}) {
        filter.add(SCMP_ACT_ALLOW, "socket", equals(0, AF_NETLINK), equals(2, protocol));
      }
      // Where programs are accounted as locked memory.
      filter.add(SCMP_ACT_ALLOW, "prlimit64", equals(0, 0));
      break;
    case Part::kAgent:
      filter.allow(kAgentOnly);
      filter.allow(kOwnFiles);
      add_modes(filter);
      add_sockets(filter, true, -1);
      // The maps that it was given.
      for (const int command :
           {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_OBJ_GET_INFO_BY_FD})
        filter.add(SCMP_ACT_ALLOW, "bpf", equals(0, command));
      break;
    case Part::kConnector:
      filter.add(SCMP_ACT_ALLOW, "connect");
      for (const int family : {AF_UNIX, AF_INET, AF_INET6})
        filter.add(SCMP_ACT_ALLOW, "socket", equals(0, family), equals(1, SOCK_STREAM | SOCK_CLOEXEC));
      break;
    case Part::kReceiver: filter.allow(kAccepting); [[fallthrough]];
    case Part::kSampler: add_modes(filter); [[fallthrough]];
    case Part::kLogs:
      filter.add(SCMP_ACT_ALLOW, "connect");
      filter.allow(kOwnFiles);
      add_sockets(filter, true, -1);
      break;
    case Part::kBook:
      filter.allow(kAccepting);
      filter.allow(kOwnFiles);
      // Name services ask their daemons, and do without: everybody's sockets are closed to whoever took the book over.
      add_sockets(filter, false, NETLINK_SOCK_DIAG);
      filter.add(SCMP_ACT_ERRNO(EACCES), "connect");
      break;
  }
  return filter.load();
}

}  // namespace portbook
