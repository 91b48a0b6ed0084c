// The programs of the randomised truth test. Each runs scripts of socket calls and writes for every call what it knows of it as a
// line of JSON: the socket's cookie, its own pid, CLOCK_REALTIME before and after, errno, getsockname and getpeername.
//
// - script_peer run OUT SCRIPTS WORKERS FOLDER: runs SCRIPTS, lines of "NUMBER SCRIPT"; FOLDER has programs to exec
// - script_peer serve OUT FOLDER WORKERS MANNER IP PORT [IP PORT]…: WORKERS 0: the listener accepts itself. MANNER header: the
//   client's first bytes are the script to run; pass: likewise, by another process that gets the descriptor at once; idle: nothing
//   is expected, "eof;close" is run; shut: "close"; blind: as pass, accepted without an address, for which getpeername() is asked
// - script_peer datagrams OUT FOLDER WORKERS IP PORT [IP PORT]…: UDP; answers with as many bytes as a packet asks for
// - script_peer go OUT FOLDER NUMBER FD PARTNER SCRIPT: goes on with SCRIPT after an exec
//
// Calls in a script are parted by ';', their words by ' '; a script within a script has ',' and '~' for them:
//
// - sock 4|6 [udp]
// - bind IP PORT [late], late: IP_BIND_ADDRESS_NO_PORT
// - conn IP PORT [MS], with MS: non-blocking, given up after so long
// - to IP|- PORT N REPLY: sends a packet with N bytes of filling to the address or the connected peer, and asks for REPLY bytes
// - from: receives a packet
// - syncnt N: TCP_SYNCNT
// - hdr SCRIPT, send N, recv N, eof, readable [MS], shut wr|rdwr, linger, close, disconnect
// - user UID: setuid
// - fork keep|leave: a child does the rest; the parent keeps its descriptor until the child has ended, or closes it before
// - pass: another process gets the descriptor (SCM_RIGHTS) and does the rest
// - exec N keep|cloexec: program N of FOLDER does the rest, or only sees its descriptor closed
// - serve: runs the script that stands in the header that is read now
// - kill, exit: end of the process, with open descriptors

#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <cerrno>
#include <fstream>

#include "connect_outcome.h"
#include "peer_datagrams.h"
#include "peer_notes.h"

using namespace peer;  // NOLINT: the program's own words

namespace {

constexpr int kHeaderBytes = 512;

std::string folder;
int partner = -1;  // takes descriptors and scripts

void serve_header(int fd);

class Script {
 public:
  Script(std::string script_number, int fd, std::string_view text)
      : number_(std::move(script_number)), fd_(fd), calls_(split(text, ';')) {}

  void run() {
    for (at_ = 0; at_ < calls_.size(); ++at_) call(split(calls_[at_], ' '));
    if (fd_ >= 0) close_socket();
  }

 private:
  std::string rest() const {
    std::string text;
    for (size_t i = at_ + 1; i < calls_.size(); ++i) text += calls_[i] + ";";
    return text;
  }
  void stop() {
    fd_ = -1;
    at_ = calls_.size();
  }

  void note(const char* operation, uint64_t before, int error, const std::string& more = "") const {
    const uint64_t after = now();
    say("\"op\":\"" + std::string(operation) + "\",\"n\":" + number_ + item("cookie", fd_ < 0 ? 0 : cookie_of(fd_)) +
        item("pid", getpid()) + item("before", before) + item("after", after) + item("errno", static_cast<uint64_t>(error)) + more);
  }
  std::string local() const {
    Address address;
    return getsockname(fd_, address.get(), &address.length) == 0 ? json_address("local", address) : "";
  }

  void call(const std::vector<std::string>& words) {
    const std::string& name = words[0];
    const uint64_t before = now();
    if (name == "sock") {
      const bool datagrams = words.size() > 2;
      fd_ = socket(words[1] == "4" ? AF_INET : AF_INET6, datagrams ? SOCK_DGRAM : SOCK_STREAM, 0);
      if (fd_ < 0) die("socket");
      note("sock", before, 0, datagrams ? ",\"udp\":1" : "");
    } else if (name == "bind") {
      bind_to(words, before);
    } else if (name == "conn") {
      connect_to(words, before);
    } else if (name == "hdr") {
      std::string text = words[1];
      std::ranges::replace(text, ',', ';');
      std::ranges::replace(text, '~', ' ');
      text = number_ + ";" + text;
      text.resize(kHeaderBytes);
      send_bytes(text, before);
    } else if (name == "send") {
      send_bytes(std::string(number<size_t>(words[1]), 'x'), before);
    } else if (name == "recv") {
      receive(number<size_t>(words[1]), "recv");
    } else if (name == "eof") {
      receive(SIZE_MAX, "eof");
    } else if (name == "to") {
      const std::string text = number_ + ";" + words[4] + ";" + std::string(number<size_t>(words[3]), 'x');
      Address to = words[1] == "-" ? Address() : make_address(words[1], number(words[2]));
      const ssize_t sent = sendto(fd_, text.data(), text.size(), MSG_NOSIGNAL, words[1] == "-" ? nullptr : to.get(),
                                  words[1] == "-" ? 0 : to.length);
      const int error = sent < 0 ? errno : 0;
      note("to", before, error, item("bytes", text.size()) + local() + (words[1] == "-" ? "" : json_address("peer", to)));
    } else if (name == "from") {
      receive_datagram();
    } else if (name == "readable") {
      pollfd wait{fd_, POLLIN, 0};
      poll(&wait, 1, words.size() > 1 ? number(words[1]) : 20'000);
    } else if (name == "shut") {
      note("shut", before, shutdown(fd_, words[1] == "wr" ? SHUT_WR : SHUT_RDWR) == 0 ? 0 : errno);
    } else if (name == "syncnt") {
      const int attempts = number(words[1]);
      setsockopt(fd_, IPPROTO_TCP, TCP_SYNCNT, &attempts, sizeof attempts);
    } else if (name == "linger") {
      const linger reset{1, 0};
      setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    } else if (name == "close") {
      close_socket();
    } else if (name == "disconnect") {
      sockaddr none{};
      none.sa_family = AF_UNSPEC;
      note("disconnect", before, connect(fd_, &none, sizeof none) == 0 ? 0 : errno);
    } else {
      call_of_process(words, before);
    }
  }

  void call_of_process(const std::vector<std::string>& words, uint64_t before) {
    const std::string& name = words[0];
    if (name == "user") {
      if (setgid(number<gid_t>(words[1])) != 0 || setuid(number<uid_t>(words[1])) != 0) die("setuid");
      say_who_i_am();
    } else if (name == "fork") {
      fork_child(words[1] == "keep");
    } else if (name == "pass") {
      pass();
    } else if (name == "serve") {
      serve_header(fd_);
      stop();
    } else if (name == "exec") {
      execute(words[1], words[2] == "cloexec", before);
    } else if (name == "kill") {
      note("kill", before, 0);
      kill(getpid(), SIGKILL);
    } else if (name == "exit") {
      note("exit", before, 0);
      _exit(0);
    } else {
      die("no call " + name);
    }
  }

  void bind_to(const std::vector<std::string>& words, uint64_t before) {
    const int on = 1;
    if (words.size() > 3) setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    Address address = make_address(words[1], number(words[2]));
    note("bind", before, bind(fd_, address.get(), address.length) == 0 ? 0 : errno, local());
  }

  void connect_to(const std::vector<std::string>& words, uint64_t before) {
    Address to = make_address(words[1], number(words[2]));
    const bool waits = words.size() == 3;
    if (!waits) fcntl(fd_, F_SETFL, O_NONBLOCK);
    int error = connect(fd_, to.get(), to.length) == 0 ? 0 : errno;
    // Before the answer: the kernel takes the ends away from a socket that failed.
    std::string ends = waits ? "" : local();
    if (error == EINPROGRESS) error = outcome_of_connect(fd_, number(words[3]));
    fcntl(fd_, F_SETFL, 0);
    if (ends.empty()) ends = local();
    note("conn", before, error, ends + json_address("peer", to) + (error == 0 ? diagnose(fd_) : ""));
  }

  void send_bytes(const std::string& bytes, uint64_t before) {
    const bool good = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
    note("send", before, good ? 0 : errno, item("bytes", good ? bytes.size() : 0));
  }

  void receive(size_t bytes, const char* operation) {
    std::array<char, 4096> buffer{};
    size_t total = 0;
    const uint64_t before = now();
    int error = 0;
    while (total < bytes) {
      const ssize_t got = ::recv(fd_, buffer.data(), std::min(bytes - total, buffer.size()), 0);
      if (got < 0) error = errno;
      if (got <= 0) break;
      total += static_cast<size_t>(got);
    }
    note(operation, before, error, item("bytes", total));
  }

  // Waits for one; not for long, for translation may drop one.
  void receive_datagram() {
    pollfd wait{fd_, POLLIN, 0};
    poll(&wait, 1, 500);
    std::array<char, 65536> buffer{};
    Address from;
    const uint64_t before = now();
    const ssize_t got = recvfrom(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT, from.get(), &from.length);
    note("from", before, got < 0 ? errno : 0,
         got < 0 ? "" : item("bytes", static_cast<uint64_t>(got)) + json_address("peer", from));
  }

  void close_socket() {
    const uint64_t cookie = cookie_of(fd_);
    const uint64_t before = now();
    close(fd_);
    fd_ = -1;
    note("close", before, 0, item("closed", cookie));
  }

  void fork_child(bool keep) {
    std::array<int, 2> go{};
    if (pipe2(go.data(), O_CLOEXEC) != 0) die("pipe");
    const pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
      char byte = 0;
      close(go[1]);
      if (read(go[0], &byte, 1) < 0) die("read");
      close(go[0]);
      say_who_i_am();
      return;  // and goes on with the rest
    }
    const bool has = fd_ >= 0;
    if (has && !keep) close_socket();
    close(go[0]);
    close(go[1]);
    int status = 0;
    waitpid(child, &status, 0);
    say("\"op\":\"ended\",\"n\":" + number_ + item("pid", static_cast<uint64_t>(child)) + item("after", now()) +
        item("status", static_cast<uint64_t>(status)));
    if (has && keep) close_socket();
    stop();
  }

  void pass() {
    std::string text = number_ + ";" + rest();
    iovec data{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd_, sizeof fd_);
    if (sendmsg(partner, &message, 0) < 0) die("pass");
    close_socket();
    char byte = 0;
    // The other one begins when this descriptor is gone, and is done when it answers.
    if (::send(partner, &byte, 1, 0) != 1 || ::recv(partner, &byte, 1, 0) != 1) die("partner");
    stop();
  }

  void execute(const std::string& program, bool cloexec, uint64_t before) {
    note("exec", before, 0, cloexec ? item("closed", cookie_of(fd_)) : "");
    if (cloexec) fcntl(fd_, F_SETFD, FD_CLOEXEC);
    const std::string path = folder + "/program" + program;
    const std::string fd = std::to_string(cloexec ? -1 : fd_);
    execl(path.c_str(), path.c_str(), "go", out_path.c_str(), folder.c_str(), number_.c_str(), fd.c_str(),
          std::to_string(partner).c_str(), rest().c_str(), nullptr);
    die("exec " + path);
  }

  std::string number_;
  int fd_;
  std::vector<std::string> calls_;
  size_t at_ = 0;
};

// Runs a script in this process; one that forks goes on in a child, which ends with the script.
void run_script(const std::string& script_number, int fd, std::string_view text) {
  const pid_t me = getpid();
  Script(script_number, fd, text).run();
  if (getpid() != me) _exit(0);
}

// A process that is handed descriptors with what to do with them.
void start_partner() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()) != 0) die("socketpair");
  if (fork() != 0) {
    close(ends[1]);
    partner = ends[0];
    return;
  }
  close(ends[0]);
  say_who_i_am();
  while (true) {
    std::array<char, 4096> text{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec data{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(ends[1], &message, 0);
    if (got <= 0) _exit(0);
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    char byte = 0;
    if (recv(ends[1], &byte, 1, 0) != 1) die("go");
    const std::string_view script(text.data(), static_cast<size_t>(got));
    const size_t at = script.find(';');
    run_script(std::string(script.substr(0, at)), fd, script.substr(at + 1));
    if (send(ends[1], &byte, 1, 0) != 1) die("done");
  }
}

// Reads which script to run on an accepted connection, and runs it.
void serve_header(int fd) {
  std::array<char, kHeaderBytes> header{};
  const uint64_t before = now();
  const ssize_t got = recv(fd, header.data(), header.size(), MSG_WAITALL);
  const std::string_view text(header.data(), got == kHeaderBytes ? strnlen(header.data(), header.size()) : 0);
  const size_t at = text.find(';');
  const std::string script_number(text.empty() ? "-1" : text.substr(0, at));
  say("\"op\":\"recv\",\"n\":" + script_number + item("cookie", cookie_of(fd)) + item("pid", getpid()) + item("before", before) +
      item("after", now()) + item("errno", got < 0 ? static_cast<uint64_t>(errno) : 0) +
      item("bytes", got < 0 ? 0 : static_cast<uint64_t>(got)));
  run_script(script_number, fd, text.empty() ? "close" : text.substr(at + 1));
}

[[noreturn]] void accept_forever(const std::vector<int>& listeners, const std::string& manner) {
  start_partner();
  say_who_i_am();
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : listeners) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    event.data.fd = fd;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll");
  }
  while (true) {
    epoll_event event{};
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    Address peer;
    Address local;
    const uint64_t before = now();
    const bool blind = manner == "blind";
    const int fd = blind ? accept4(event.data.fd, nullptr, nullptr, 0) : accept4(event.data.fd, peer.get(), &peer.length, 0);
    if (fd < 0) continue;  // another worker was faster
    getsockname(fd, local.get(), &local.length);
    if (blind && getpeername(fd, peer.get(), &peer.length) != 0) die("a client of the blind server resets");
    say("\"op\":\"accept\"" + std::string(blind ? ",\"blind\":1" : "") + item("cookie", cookie_of(fd)) +
        item("listener", cookie_of(event.data.fd)) + item("pid", getpid()) + item("before", before) + item("after", now()) +
        json_address("local", local) + json_address("peer", peer) + diagnose(fd));
    if (manner == "header") serve_header(fd);
    if (manner == "idle") run_script("-1", fd, "eof;close");
    if (manner == "shut") run_script("-1", fd, "close");
    if (manner == "pass" || blind) run_script("-1", fd, "pass;serve");
  }
}

int serve(int workers, const std::string& manner, char** rest, int count) {
  say_who_i_am();
  std::vector<int> listeners;
  for (int i = 0; i + 1 < count; i += 2) {
    Address address = make_address(rest[i], number(rest[i + 1]));
    const int fd = socket(address.raw.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    const int only = std::strcmp(rest[i], "::") != 0 ? 1 : 0;  // the wildcard serves IPv4 too
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    const uint64_t before = now();
    if (bind(fd, address.get(), address.length) != 0 || listen(fd, 1024) != 0) die("listen");
    say("\"op\":\"listen\"" + item("cookie", cookie_of(fd)) + item("pid", getpid()) + item("before", before) +
        item("after", now()) + json_address("local", address));
    listeners.push_back(fd);
  }
  if (workers == 0) accept_forever(listeners, manner);
  for (int i = 0; i < workers; ++i) {
    if (fork() == 0) accept_forever(listeners, manner);
  }
  while (wait(nullptr) > 0) {
  }
  return 0;
}

int run(const char* path, int workers) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  for (int worker = 0; worker < workers; ++worker) {
    if (fork() != 0) continue;
    start_partner();
    say_who_i_am();
    for (size_t i = static_cast<size_t>(worker); i < lines.size(); i += static_cast<size_t>(workers)) {
      const size_t at = lines[i].find(' ');
      run_script(lines[i].substr(0, at), -1, std::string_view(lines[i]).substr(at + 1));
    }
    _exit(0);
  }
  int failed = 0;
  for (int status = 0; wait(&status) > 0;) failed += status != 0 ? 1 : 0;
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) die("usage: see the top of script_peer.cc");
  const std::string mode = argv[1];
  signal(SIGPIPE, SIG_IGN);
  out_path = argv[2];
  out = open(out_path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (out < 0) die("open " + out_path);
  if (mode == "run") {
    folder = argv[5];
    return run(argv[3], number(argv[4]));
  }
  folder = argv[3];
  if (mode == "datagrams") return serve_datagrams(number(argv[4]), argv + 5, argc - 5);
  if (mode == "serve") return serve(number(argv[4]), argv[5], argv + 6, argc - 6);
  if (mode == "go" && argc == 8) {
    say_who_i_am();
    partner = number(argv[6]);
    Script(argv[4], number(argv[5]), argv[7]).run();
    return 0;
  }
  die("mode " + mode);
}
