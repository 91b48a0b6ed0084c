// Both ends of the truth test. Every process writes what it knows of itself and its sockets, from getsockname, getpeername and
// /proc/self, as lines of JSON, so that what was captured can be compared with it.
//   truth_peer serve OUT WORKERS IP PORT [IP PORT]…         a prefork server: the parent listens, the workers accept
//   truth_peer spawn PARALLEL OUT COUNT LABEL ADDRESS PORT…  starts COUNT short-lived processes, each with one round of connections
//   truth_peer connect OUT LABEL ADDRESS PORT…              one such process
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "connect_outcome.h"

extern char** environ;

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Address {
  sockaddr_storage raw{};
  socklen_t length = 0;
};

Address make_address(const std::string& ip, int port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.raw);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.raw);
  if (inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    address.length = sizeof *v4;
  } else if (inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    address.length = sizeof *v6;
  } else {
    die("address");
  }
  return address;
}

// The number at the front of `text`.
template <typename T = int>
T number(const char* text) {
  T value = 0;
  if (std::from_chars(text, text + std::strlen(text), value).ec != std::errc{}) die("number");
  return value;
}

std::string json_endpoint(const Address& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.raw.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.raw);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return std::string("[\"") + text + "\"," + std::to_string(ntohs(v4.sin_port)) + "]";
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.raw);
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  return std::string("[\"") + text + "\"," + std::to_string(ntohs(v6.sin6_port)) + "]";
}

template <typename Call>
Address end_of(int fd, Call call) {
  Address address;
  address.length = sizeof address.raw;
  if (call(fd, reinterpret_cast<sockaddr*>(&address.raw), &address.length) != 0) die("getsockname or getpeername");
  return address;
}

// Field 22 of /proc/self/stat.
unsigned long long start_ticks() {
  char text[4096] = {};
  const int fd = open("/proc/self/stat", O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) die("/proc/self/stat");
  close(fd);
  const char* at = std::strrchr(text, ')') + 1;
  for (int field = 3; field < 22; ++field) at = std::strchr(at + 1, ' ');
  return number<unsigned long long>(at + 1);
}

std::string json_self() {
  return "\"pid\":" + std::to_string(getpid()) + ",\"ppid\":" + std::to_string(getppid()) +
         ",\"start_ticks\":" + std::to_string(start_ticks());
}

// One write, so that lines of many processes never mix.
void write_line(int fd, const std::string& line) {
  const std::string text = line + "\n";
  if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) die("write");
}

void work(int out, const std::vector<int>& listeners) {
  std::vector<pollfd> waits;
  for (const int fd : listeners) waits.push_back({fd, POLLIN, 0});
  const std::string self = json_self();
  while (true) {
    if (poll(waits.data(), waits.size(), -1) < 0) die("poll");
    for (const pollfd& wait : waits) {
      if (wait.revents == 0) continue;
      const int fd = accept4(wait.fd, nullptr, nullptr, 0);
      if (fd < 0) continue;  // another worker was faster
      char label[256] = {};
      const ssize_t got = read(fd, label, sizeof label - 1);
      if (got > 0) {
        write_line(out, "{\"what\":\"accept\",\"label\":\"" + std::string(label) +
                            "\",\"local\":" + json_endpoint(end_of(fd, getsockname)) +
                            ",\"peer\":" + json_endpoint(end_of(fd, getpeername)) + "," + self + "}");
        if (write(fd, "ok", 2) != 2) die("answer");
        // The client closes first: its port then stays taken for a minute, so that no two connections of the test share their ends.
        while (read(fd, label, sizeof label) > 0) {
        }
      }
      close(fd);
    }
  }
}

int serve(int out, int workers, char** rest, int count) {
  std::vector<int> listeners;
  for (int i = 0; i + 1 < count; i += 2) {
    const Address address = make_address(rest[i], number(rest[i + 1]));
    const int fd = socket(address.raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address.raw), address.length) != 0 || listen(fd, 1024) != 0) die("listen");
    listeners.push_back(fd);
  }
  for (int i = 0; i < workers; ++i) {
    if (fork() == 0) work(out, listeners);
  }
  write_line(out, "{\"what\":\"listening\"," + json_self() + "}");
  while (wait(nullptr) > 0) {
  }
  return 0;
}

// Port 7998 is where nobody answers: "give up" closes after a moment, "wait" lets the kernel run out of attempts.
int connect_one(int out, const std::string& label, const Address& to, const std::string& manner) {
  const int fd = socket(to.raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int once = 1;
  if (manner == "wait") setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &once, sizeof once);
  const int begun = connect(fd, reinterpret_cast<const sockaddr*>(&to.raw), to.length);
  int error = begun == 0 ? 0 : errno;
  const std::string local = json_endpoint(end_of(fd, getsockname));
  if (error == EINPROGRESS) error = peer::outcome_of_connect(fd, manner == "giveup" ? 100 : 20'000);
  if (error == 0) {
    fcntl(fd, F_SETFL, 0);
    if (write(fd, label.data(), label.size()) != static_cast<ssize_t>(label.size())) die("label");
    char answer[8] = {};
    if (read(fd, answer, sizeof answer) != 2) die("no answer");
  }
  write_line(out, "{\"what\":\"connect\",\"label\":\"" + label + "\",\"local\":" + local + ",\"remote\":" + json_endpoint(to) +
                      ",\"errno\":" + std::to_string(error) + "," + json_self() + "}");
  close(fd);
  return 0;
}

int connect_all(int out, const std::string& label, char** rest, int count) {
  for (int i = 0; i + 1 < count; i += 2) {
    const std::string port = rest[i + 1];
    const size_t colon = port.find(':');
    const std::string manner = colon == std::string::npos ? "" : port.substr(colon + 1);
    connect_one(out, label + "-" + std::to_string(i / 2), make_address(rest[i], number(port.c_str())), manner);
  }
  return 0;
}

int spawn(int parallel, const char* out_path, int count, const std::string& label, char** rest, int rest_count) {
  int running = 0;
  int failed = 0;
  auto reap = [&] {
    int status = 0;
    if (wait(&status) > 0) --running;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) failed = 1;
  };
  for (int i = 0; i < count; ++i) {
    if (running >= parallel) reap();
    std::vector<std::string> arguments = {"truth_peer", "connect", out_path, label + "-" + std::to_string(i)};
    arguments.insert(arguments.end(), rest, rest + rest_count);
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    pid_t pid = 0;
    if (posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, pointers.data(), environ) != 0) die("spawn");
    ++running;
  }
  while (running > 0) reap();
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 4 ? argv[1] : "";
  const char* path = mode == "spawn" ? argv[3] : argc > 4 ? argv[2] : "";
  const int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (out < 0) die("usage: see the top of truth_peer.cc");
  if (mode == "serve") return serve(out, number(argv[3]), argv + 4, argc - 4);
  if (mode == "connect") return connect_all(out, argv[3], argv + 4, argc - 4);
  if (mode == "spawn" && argc > 6) {
    write_line(out, "{\"what\":\"spawner\"," + json_self() + "}");
    return spawn(number(argv[2]), argv[3], number(argv[4]), argv[5], argv + 6, argc - 6);
  }
  die("mode");
}
