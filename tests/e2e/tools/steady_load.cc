// Load that knows what it did, for the fault test: TCP and UDP connections at a rate, each written as a line of JSON.
//
// - steady_load serve OUT IP PORT: answers TCP and UDP on that port until it is killed
// - steady_load run OUT PER_SECOND IP PORT: until SIGTERM; each second another process makes PER_SECOND connections, TCP and UDP in
// turn
// - steady_load flood IP PORTS: sends an empty UDP packet to each of so many ports, as fast as it can

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

#include "peer_notes.h"

using namespace peer;  // NOLINT: the program's own words

namespace {

volatile sig_atomic_t stopping = 0;

std::string about(const char* operation, const char* proto, uint64_t cookie, uint64_t before) {
  return "\"op\":\"" + std::string(operation) + "\",\"proto\":\"" + proto + "\"" + item("cookie", cookie) +
         item("pid", static_cast<uint64_t>(getpid())) + item("before", before) + item("after", now());
}

Address end_of(int fd, bool peer) {
  Address address;
  if ((peer ? getpeername : getsockname)(fd, address.get(), &address.length) != 0) return {};
  return address;
}

// Opens, says four bytes, waits for two, closes; an answer that does not come in five seconds is written as an error.
void connect_once(Address to, bool tcp) {
  const uint64_t before = now();
  const int fd = socket(to.raw.ss_family, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
  if (fd < 0) die("socket");
  const timeval patience{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int error = connect(fd, to.get(), to.length) == 0 ? 0 : errno;
  const uint64_t opened = now();
  std::array<char, 4> bytes{};
  const auto both = [&] { return send(fd, bytes.data(), 4, MSG_NOSIGNAL) == 4 && recv(fd, bytes.data(), 2, MSG_WAITALL) == 2; };
  if (error == 0 && !both()) error = errno;
  const std::string ends = json_address("local", end_of(fd, false)) + json_address("peer", to);
  const uint64_t cookie = cookie_of(fd);
  const uint64_t closing = now();
  close(fd);
  say(about("made", tcp ? "tcp" : "udp", cookie, before) + item("opened", opened) + item("closing", closing) +
      item("errno", static_cast<uint64_t>(error)) + ends);
}

int run(uint64_t per_second, const Address& to) {
  signal(SIGTERM, [](int) { stopping = 1; });
  say_who_i_am();
  while (stopping == 0) {
    const pid_t child = fork();
    if (child == 0) {
      say_who_i_am();
      const uint64_t began = now();
      for (uint64_t i = 0; i < per_second; ++i) {
        const uint64_t due = began + i * 1'000'000'000 / per_second;
        if (const uint64_t moment = now(); moment < due) usleep(static_cast<useconds_t>((due - moment) / 1000));
        connect_once(to, i % 2 == 0);
      }
      _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) return 1;
  }
  return 0;
}

int serve(Address at) {
  say_who_i_am();
  const int tcp = socket(at.raw.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int udp = socket(at.raw.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const uint64_t before = now();
  if (bind(tcp, at.get(), at.length) != 0 || listen(tcp, 1024) != 0 || bind(udp, at.get(), at.length) != 0) die("bind");
  say(about("listen", "tcp", cookie_of(tcp), before) + json_address("local", at));
  say(about("listen", "udp", cookie_of(udp), before) + json_address("local", at));
  std::array<pollfd, 2> waits{pollfd{tcp, POLLIN, 0}, pollfd{udp, POLLIN, 0}};
  std::array<char, 16> bytes{};
  while (poll(waits.data(), waits.size(), -1) > 0) {
    if (waits[1].revents != 0) {
      Address from;
      if (recvfrom(udp, bytes.data(), bytes.size(), 0, from.get(), &from.length) == 4)
        sendto(udp, bytes.data(), 2, 0, from.get(), from.length);
    }
    if (waits[0].revents == 0) continue;
    const uint64_t accepting = now();
    const int fd = accept4(tcp, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const timeval patience{5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const std::string ends = json_address("local", end_of(fd, false)) + json_address("peer", end_of(fd, true));
    const uint64_t cookie = cookie_of(fd);
    if (recv(fd, bytes.data(), 4, MSG_WAITALL) == 4 && send(fd, bytes.data(), 2, MSG_NOSIGNAL) == 2) {
      while (recv(fd, bytes.data(), bytes.size(), 0) > 0) {
      }
    }
    close(fd);
    say(about("took", "tcp", cookie, accepting) + ends);
  }
  return 0;
}

int flood(const std::string& ip, int ports) {
  const int fd = socket(ip.find(':') == std::string::npos ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
  for (int port = 0; port < ports; ++port) {
    Address to = make_address(ip, 20'000 + port);
    sendto(fd, nullptr, 0, 0, to.get(), to.length);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 3 ? argv[1] : "";
  if (mode == "flood") return flood(argv[2], number(argv[3]));
  if (argc < 5) die("usage: see the top of steady_load.cc");
  out_path = argv[2];
  out = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (out < 0) die("open");
  if (mode == "serve") return serve(make_address(argv[3], number(argv[4])));
  if (mode == "run" && argc == 6) return run(number<uint64_t>(argv[3]), make_address(argv[4], number(argv[5])));
  die("mode " + mode);
}
