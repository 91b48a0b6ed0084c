// Becomes a part of portbook, with that part's own confinement, and then tries one thing that it should not be able to do.
//   boundary_probe none|helper|agent|book|book-of-root FOLDER ACT [ARGUMENT]
// The book becomes the user that it has where nobody made one for it; the book of root keeps root's number, which it never does:
// what its filter and landlock are worth by themselves. FOLDER is the part's own. Prints "done", or "refused" and the error; the
// filter of system calls ends it by SIGSYS.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "privilege/confine.h"

namespace {

using Act = std::function<long(const std::string& argument)>;  // negative with errno: refused

int number(const std::string& text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int spare_socket = -1;  // made before confinement

long connect_from(int fd, const std::string& port) {
  if (fd < 0) return fd;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(number(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

long connect_unix(const std::string& path) {
  const sockaddr_un address = unix_address(path);
  return connect(socket(AF_UNIX, SOCK_STREAM, 0), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// Datagrams need no connection: one of a pair, whose other end is its own, sends to anybody.
long send_unix(const std::string& path) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return -1;
  const sockaddr_un address = unix_address(path);
  return sendto(ends[0], "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// Connects without connect().
long send_first(const std::string& port) {
  const int fd = spare_socket;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(number(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return sendto(fd, "x", 1, MSG_FASTOPEN, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

long make_setuid_file(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 04755);
}

long make_map() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = attributes.value_size = 4;
  attributes.max_entries = 1;
  return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
}

long execute() {
  char program[] = "/bin/true";
  char* arguments[] = {program, nullptr};
  const pid_t child = vfork();
  if (child != 0) return child;
  execv(program, arguments);
  _exit(1);
}

long mount_on(const std::string& folder) {
  const int mounted = mount("none", folder.c_str(), "tmpfs", 0, nullptr);
  if (mounted == 0) umount(folder.c_str());
  return mounted;
}

long make_executable_memory() {
  return mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

const std::map<std::string, Act> kActs = {
    {"read", [](const std::string& path) { return open(path.c_str(), O_RDONLY); }},
    {"write", [](const std::string& path) { return open(path.c_str(), O_WRONLY | O_CREAT, 0600); }},
    {"list", [](const std::string& path) { return open(path.c_str(), O_RDONLY | O_DIRECTORY); }},
    {"trace", [](const std::string& pid) { return ptrace(PTRACE_SEIZE, number(pid), nullptr, nullptr); }},
    {"signal", [](const std::string& pid) { return kill(number(pid), 0); }},
    {"connect", [](const std::string& port) { return connect_from(socket(AF_INET, SOCK_STREAM, 0), port); }},
    {"connect an old socket", [](const std::string& port) { return connect_from(spare_socket, port); }},
    {"fast open an old socket", send_first},
    {"connect to a unix socket", connect_unix},
    {"send to a unix socket", send_unix},
    {"change another's mode", [](const std::string& path) { return chmod(path.c_str(), 0666); }},
    {"change an own file's mode", [](const std::string& path) { return chmod(path.c_str(), 04755); }},
    {"make a setuid file", make_setuid_file},
    {"load", [](const std::string&) { return make_map(); }},
    {"execute", [](const std::string&) { return execute(); }},
    {"fork", [](const std::string&) { return fork(); }},
    {"raw socket", [](const std::string&) { return socket(AF_INET, SOCK_RAW, IPPROTO_TCP); }},
    {"packet socket", [](const std::string&) { return socket(AF_PACKET, SOCK_RAW, 0); }},
    {"become root", [](const std::string&) { return setresuid(0, 0, 0); }},
    {"mount", mount_on},
    {"new namespace", [](const std::string&) { return unshare(CLONE_NEWNS); }},
    {"change root", [](const std::string&) { return chroot("/"); }},
    {"executable memory", [](const std::string&) { return make_executable_memory(); }},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const std::string part = argv[1];
  const auto act = kActs.find(argv[3]);
  if (act == kActs.end()) return 2;
  spare_socket = socket(AF_INET, SOCK_STREAM, 0);
  portbook::ConfineOptions options;
  options.writable = {argv[2]};
  if (part != "none") {
    options.part = part == "helper" ? portbook::Part::kHelper : part == "agent" ? portbook::Part::kAgent : portbook::Part::kBook;
    const auto user = part == "helper" ? portbook::helper_user() : part == "agent" ? portbook::agent_user() : portbook::book_user();
    if (!user.has_value()) return 2;
    if (part != "book-of-root") options.user = *user;
    const auto confined = portbook::confine(options);
    if (!confined.has_value()) {
      fmt::print(stderr, "{}\n", confined.error().message);
      return 2;
    }
  }
  const long result = act->second(argc > 4 ? argv[4] : "");
  const std::string words = result >= 0 ? "done" : fmt::format("refused: {}", std::strerror(errno));
  fmt::print("{}\n", words);
  std::fflush(stdout);
  _exit(0);
}
