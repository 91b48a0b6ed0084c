// portbook up: everything on this host — the book, what feeds it, and what answers.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>

#include "book/book.h"
#include "capture/capture.h"
#include "cli/command.h"
#include "cli/table.h"
#include "record/version.h"

namespace portbook {

namespace {

struct Options {
  BookChoice book;
  std::string listen = "127.0.0.1:7171";
  std::string host;
  bool no_cmdline = false;
};

std::string machine_name() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

Result<std::unique_ptr<Capture>> start_capture(const Options& options, Book& book) {
  CaptureOptions capture;
  capture.host = options.host;
  capture.version = kVersion;
  capture.with_cmdline = !options.no_cmdline;
  capture.last_seq = [&book](std::string_view source) { return book.last_seq(source); };
  capture.sink = [&book](Batch batch, CaptureOptions::Done done) {
    book.submit(std::move(batch), [done = std::move(done)](const Result<Receipt>& receipt) {
      if (receipt) {
        done({});
      } else {
        done(std::unexpected(receipt.error()));
      }
    });
  };
  return Capture::start(std::move(capture), system_clock());
}

void print_start(const Options& options, const Book& book, const Capture& capture) {
  fmt::print("portbook {}: the book of {} in {}\n", kVersion, options.host, options.book.data.native());
  if (const std::string recovery = book.recovery_report(); !recovery.empty()) fmt::print("{}\n", in_ink(Ink::kWarn, recovery));
  if (const auto reason = book.read_only_reason()) fmt::print("{}\n", in_ink(Ink::kBad, "read-only: " + *reason));
  for (const Capability& line : capture.report()) {
    const Ink ink = line.state == CaptureState::kOk ? Ink::kGood : line.state == CaptureState::kWarn ? Ink::kWarn : Ink::kBad;
    fmt::print("  {}  {:<24} {}\n", in_ink(ink, fmt::format("{:<4}", to_text(line.state))), line.what,
               line.state == CaptureState::kOk ? line.means : line.detail);
  }
  fmt::print(
      "key:  {}\n      Keep it somewhere else: with it and any older checkpoint, anyone can show that this log was not changed.\n",
      book.vkey());
  std::fflush(stdout);
}

int up(Options& options) {
  if (options.host.empty()) options.host = machine_name();
  // The signals that stop us are taken by one sigwait below, and by no thread that starts from here on.
  sigset_t stopping;
  sigemptyset(&stopping);
  sigaddset(&stopping, SIGINT);
  sigaddset(&stopping, SIGTERM);
  sigaddset(&stopping, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &stopping, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  BookOptions book_options;
  book_options.folder = options.book.data;
  book_options.origin = options.host;
  book_options.host = options.host;
  auto book = Book::open(book_options, system_clock());
  if (!book) return report(book.error());
  auto capture = start_capture(options, **book);
  if (!capture) return report(capture.error());
  print_start(options, **book, **capture);

  int signal = 0;
  sigwait(&stopping, &signal);
  (*capture)->stop();
  return 0;
}

}  // namespace

void add_up(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();  // shared by the parser's callbacks and the run
  CLI::App* command = app.add_subcommand("up", "record this host's connections and answer questions, until stopped");
  add_data_option(*command, options->book);
  command->add_option("--listen", options->listen, "loopback address and port of the page and the API")
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  command->add_option("--host", options->host, "name of this host in records; default the machine's")->type_name("NAME");
  command->add_flag("--no-cmdline", options->no_cmdline, "never record arguments of processes");
  command->footer(
      "Examples:\n  sudo portbook up\n  sudo portbook up --data /srv/portbook --listen 127.0.0.1:8080\n"
      "Exit codes: 0 stopped by a signal, 2 wrong arguments, 4 not permitted, 5 disk, 8 port or book in use, 9 the book is of a "
      "newer version");
  command->callback([options, &run] { run = [options] { return up(*options); }; });
}

}  // namespace portbook
