#include "cli/supervisor.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/roles.h"
#include "privilege/confine.h"
#include "server/credentials.h"
#include "ship/stream_socket.h"

namespace portbook {

namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kRestartMin{100};
constexpr milliseconds kRestartMax{10'000};
constexpr std::chrono::seconds kGoodRun{30};            // after it, a death is a new one
constexpr std::chrono::seconds kAgentStopPatience{12};  // capture's five seconds, the sender's three, and some
constexpr std::chrono::seconds kBookStopPatience{30};

// The program that runs, by its path while that leads to it: a process is named after the last part of what it was started by.
std::string own_program() {
  constexpr const char* kSelf = "/proc/self/exe";
  struct stat running{};
  struct stat there{};
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink(kSelf, error);
  const bool same = !error && stat(kSelf, &running) == 0 && stat(path.c_str(), &there) == 0 && running.st_dev == there.st_dev &&
                    running.st_ino == there.st_ino;
  return same ? path.string() : kSelf;
}

// One child and its fate.
class Charge {
 public:
  explicit Charge(Child child) : child_(std::move(child)) {}

  // A start that fails is tried again later, like one whose child died.
  Status start(const std::string& token) {
    const milliseconds waited = delay_;
    note_wait();
    std::array<int, 2> ends{-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      return fail(ErrorCode::kIo, fmt::format("cannot make a socket pair: {}", std::strerror(errno)));
    control_ = FileDescriptor(ends[0]);
    const FileDescriptor childs(ends[1]);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) return fail(ErrorCode::kIo, fmt::format("cannot start the {}: {}", child_.name, std::strerror(errno)));
    if (pid == 0) become(childs.get(), parent);
    pid_ = pid;
    started_at_ = SteadyClock::now();
    restart_at_.reset();
    delay_ = waited;
    ++starts_;
    if (send(control_.get(), token.data(), token.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(token.size()))
      return fail(ErrorCode::kIo, fmt::format("the {} ended at once", child_.name));
    return {};
  }

  // After its death; says when it begins again.
  void note_end(int status) {
    if (SteadyClock::now() - started_at_ >= kGoodRun) delay_ = kRestartMin / 2;
    pid_ = 0;
    note_wait();
    tell("portbook: {}; it is started again{}.\n", describe_end("the " + child_.name, status),
         delay_ < milliseconds(1000) ? "" : fmt::format(" in {} s", delay_.count() / 1000));
  }

  void terminate() const {
    if (pid_ > 0) kill(pid_, SIGTERM);
  }
  void kill_now() const {
    if (pid_ > 0) kill(pid_, SIGKILL);
  }
  void forget() { pid_ = 0; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::string& name() const { return child_.name; }
  [[nodiscard]] const FileDescriptor& control() const { return control_; }
  [[nodiscard]] bool is_due() const { return pid_ == 0 && restart_at_ && SteadyClock::now() >= *restart_at_; }
  [[nodiscard]] std::optional<SteadyClock::time_point> restart_at() const { return restart_at_; }

 private:
  void note_wait() {
    delay_ = std::min(delay_ * 2, kRestartMax);
    restart_at_ = SteadyClock::now() + delay_;
  }

  // In the child: everything of the supervisor's but the three standard descriptors and its end of the pair is closed on exec.
  [[noreturn]] void become(int control, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    const int kept = dup(control);  // without close-on-exec
    std::vector<std::string> args{"portbook"};
    args.insert(args.end(), child_.args.begin(), child_.args.end());
    args.insert(args.end(), {"--supervisor-fd", std::to_string(kept)});
    if (starts_ > 0) args.emplace_back("--again");
    std::vector<char*> pointers;
    for (std::string& arg : args) pointers.push_back(arg.data());
    pointers.push_back(nullptr);
    execv(own_program().c_str(), pointers.data());
    tell("portbook: cannot start the {}: {}\n", child_.name, std::strerror(errno));
    _exit(1);
  }
  Child child_;
  pid_t pid_ = 0;
  FileDescriptor control_;
  uint32_t starts_ = 0;
  milliseconds delay_ = kRestartMin / 2;
  SteadyClock::time_point started_at_;
  std::optional<SteadyClock::time_point> restart_at_;
};

class Supervisor {
 public:
  Supervisor(Child book, std::vector<Child> others) : token_(make_token()) {
    charges_.emplace_back(std::move(book));
    for (Child& one : others) charges_.emplace_back(std::move(one));
  }

  int run() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int one : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals, one);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_ = FileDescriptor(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (auto started = book().start(token_); !started) return report(started.error());
    if (const auto code = wait_for_book()) return *code;
    for (Charge& one : charges_) {
      if (&one != &book()) start(one);
    }
    while (!stopping_) {
      wait_for_event();
      for (Charge& one : charges_) {
        if (!stopping_ && one.is_due()) start(one);
      }
    }
    tell("Stopping; what has been captured is being written.\n");
    for (Charge& one : charges_) {
      if (&one != &book()) end(one, kAgentStopPatience);
    }
    end(book(), kBookStopPatience);
    return 0;
  }

 private:
  void start(Charge& one) {
    if (auto started = one.start(token_); !started) tell("portbook: {}\n", started.error().message);
  }

  // Until the book says that it is ready: then nothing. Else the exit code: what was wrong it has said itself.
  std::optional<int> wait_for_book() {
    while (true) {
      std::array<pollfd, 2> fds{pollfd{book().control().get(), POLLIN, 0}, pollfd{signals_.get(), POLLIN, 0}};
      poll(fds.data(), fds.size(), -1);
      char ready = 0;
      if ((fds[0].revents & POLLIN) != 0 && read(book().control().get(), &ready, 1) == 1) return std::nullopt;
      int status = 0;
      if (waitpid(book().pid(), &status, WNOHANG) == book().pid()) {
        book().forget();
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      if (take_signals()) {
        end(book(), kBookStopPatience);
        return 0;
      }
    }
  }

  // True when one of them says to stop.
  bool take_signals() {
    signalfd_siginfo info{};
    while (read(signals_.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD) stopping_ = true;
    }
    return stopping_;
  }

  void wait_for_event() {
    auto patience = milliseconds(-1);
    for (const Charge& one : charges_) {
      if (one.pid() != 0 || !one.restart_at()) continue;
      const auto left = std::max(std::chrono::ceil<milliseconds>(*one.restart_at() - SteadyClock::now()), milliseconds(0));
      patience = patience.count() < 0 ? left : std::min(patience, left);
    }
    pollfd come{signals_.get(), POLLIN, 0};
    poll(&come, 1, static_cast<int>(patience.count()));
    if (take_signals()) return;
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
      for (Charge& one : charges_) {
        if (one.pid() == pid) one.note_end(status);
      }
    }
  }

  void end(Charge& one, std::chrono::seconds patience) {
    if (one.pid() == 0) return;
    one.terminate();
    const auto deadline = SteadyClock::now() + patience;
    while (waitpid(one.pid(), nullptr, WNOHANG) == 0) {
      if (SteadyClock::now() >= deadline) {
        tell("portbook: the {} did not stop within {} s and is ended.\n", one.name(), patience.count());
        one.kill_now();
        waitpid(one.pid(), nullptr, 0);
        break;
      }
      pollfd come{signals_.get(), POLLIN, 0};
      poll(&come, 1, 100);
      take_signals();
    }
    one.forget();
  }

  Charge& book() { return charges_.front(); }

  std::vector<Charge> charges_;  // the book first
  const std::string token_;
  FileDescriptor signals_;
  bool stopping_ = false;
};

}  // namespace

int supervise(Child book, std::vector<Child> others) {
  return Supervisor(std::move(book), std::move(others)).run();
}

}  // namespace portbook
