// portbook up: records this host and answers, until it is stopped.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "book/book.h"
#include "capture/capture.h"
#include "cli/command.h"
#include "cli/table.h"
#include "record/version.h"
#include "server/api.h"
#include "server/http.h"

namespace portbook {

namespace {

struct Options {
  std::string data;
  std::string listen = "127.0.0.1:7171";
  std::string host;
  std::string origin;
  bool no_cmdline = false;
};

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name.front() == '\0') return "localhost";
  return name.data();
}

// "127.0.0.1:7171", "[::1]:0", "7171".
Result<HttpOptions> listen_options(const std::string& text) {
  HttpOptions options;
  const size_t colon = text.rfind(':');
  const std::string_view port = colon == std::string::npos ? std::string_view(text) : std::string_view(text).substr(colon + 1);
  if (colon != std::string::npos) options.address = text.substr(0, colon);
  if (options.address.starts_with('[') && options.address.ends_with(']'))
    options.address = options.address.substr(1, options.address.size() - 2);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || number > 65535) {
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is not ADDRESS:PORT", text));
  }
  options.port = static_cast<uint16_t>(number);
  return options;
}

std::vector<CaptureLine> lines_of(const Capture& capture) {
  std::vector<CaptureLine> lines;
  for (const Capability& one : capture.report()) lines.push_back({one.what, to_text(one.state), one.means, one.detail});
  return lines;
}

// Everything that runs, in the order in which it begins; it ends in the reverse order.
class Running {
 public:
  // Signals must be blocked by now: every thread inherits that, and the one that waits takes them.
  Status start(const Options& options) {
    auto http_options = listen_options(options.listen);
    if (!http_options) return std::unexpected(http_options.error());
    const std::filesystem::path folder = options.data.empty() ? default_folder() : std::filesystem::path(options.data);
    const std::string host = options.host.empty() ? host_name() : options.host;
    BookOptions book_options;
    book_options.folder = folder;
    book_options.host = host;
    book_options.origin = options.origin.empty() ? "portbook/" + host : options.origin;
    auto book = Book::open(book_options, system_clock());
    if (!book) return std::unexpected(book.error());
    book_ = std::move(*book);
    http_options->unix_socket = folder / "portbook.sock";
    if (auto status = start_server(host, *http_options); !status) return status;
    if (auto status = start_capture(options, host); !status) return status;
    // An answer means that everything from now on is captured.
    server_->run();
    return {};
  }

  void print_welcome() const {
    const std::string address =
        server_->port() == 0
            ? ""
            : fmt::format("http://{}:{}/", address_.contains(':') ? "[" + address_ + "]" : address_, server_->port());
    fmt::print("portbook is recording. Page: {}\n", inked(Ink::kBold, address));
    fmt::print("Public key, keep it somewhere else: {}\n", book_->vkey());
    if (!book_->recovery_report().empty()) fmt::print("{}\n", inked(Ink::kWarn, book_->recovery_report()));
    if (const auto reason = book_->read_only_reason()) fmt::print("{}\n", inked(Ink::kBad, "The book is read-only: " + *reason));
    for (const CaptureLine& line : lines_of(*capture_)) {
      const Ink ink = line.state == "ok" ? Ink::kGood : line.state == "warn" ? Ink::kWarn : Ink::kDim;
      fmt::print("  {}  {}{}{}\n", inked(ink, fmt::format("{:<4}", line.state)), line.what,
                 line.means.empty() ? "" : ", " + line.means, line.detail.empty() ? "" : ". " + line.detail);
    }
    std::fflush(stdout);
  }

  ~Running() {
    if (capture_) capture_->stop();
    if (listening_) book_->unlisten(token_);
    http_.store(nullptr);
    server_.reset();
    api_.reset();
    capture_shown_.store(nullptr);
    capture_.reset();
    book_.reset();
  }

 private:
  Status start_server(const std::string& host, const HttpOptions& http_options) {
    ApiOptions options;
    options.host = host;
    options.version = kVersion;
    options.started = system_clock().now();
    options.capture = [this] {
      const Capture* capture = capture_shown_.load();
      return capture == nullptr ? std::vector<CaptureLine>() : lines_of(*capture);
    };
    options.http_statistics = [this] {
      const HttpServer* server = http_.load();
      return server == nullptr ? HttpStatistics() : server->statistics();
    };
    api_ = std::make_unique<Api>(*book_, system_clock(), std::move(options));
    auto server = HttpServer::bind(http_options, [this](const HttpRequest& request) { return api_->answer(request); });
    if (!server) return std::unexpected(server.error());
    server_ = std::move(*server);
    address_ = http_options.address;
    http_.store(server_.get());
    token_ = book_->listen([this](uint64_t) { server_->wake_streams(); });
    listening_ = true;
    return {};
  }

  Status start_capture(const Options& options, const std::string& host) {
    CaptureOptions capture_options;
    capture_options.host = host;
    capture_options.version = kVersion;
    capture_options.with_cmdline = !options.no_cmdline;
    capture_options.last_seq = [this](std::string_view source) { return book_->last_seq(source); };
    capture_options.sink = [this](Batch batch, CaptureOptions::Done done) {
      book_->submit(std::move(batch), [done = std::move(done)](const Result<Receipt>& receipt) {
        done(receipt ? Status() : Status(std::unexpected(receipt.error())));
      });
    };
    auto capture = Capture::start(std::move(capture_options), system_clock());
    if (!capture) return std::unexpected(capture.error());
    capture_ = std::move(*capture);
    capture_shown_.store(capture_.get());
    return {};
  }

  std::unique_ptr<Book> book_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<Capture> capture_;
  std::atomic<const Capture*> capture_shown_{nullptr};  // to the server's threads, once it has started
  std::atomic<const HttpServer*> http_{nullptr};        // likewise
  std::string address_;
  uint64_t token_ = 0;
  bool listening_ = false;
};

int up(const Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  Running running;
  if (auto status = running.start(options); !status) return report(status.error());
  running.print_welcome();
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  fmt::print(stderr, "Stopping; what has been captured is being written.\n");
  return 0;
}

}  // namespace

void add_up(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("up", "Record this host and answer questions, until stopped");
  command->add_option("--data", options->data,
                      fmt::format("Folder of the book; made when missing (default {})", default_folder().string()));
  command->add_option("--listen", options->listen, "Loopback address and port of the page and API (default 127.0.0.1:7171)");
  command->add_option("--host", options->host, "Name of this host in its records (default: its host name)");
  command->add_option("--origin", options->origin, "Name of a new book in its checkpoints (default portbook/HOST)");
  command->add_flag("--no-cmdline", options->no_cmdline, "Never record the arguments of processes");
  command->footer(
      "Examples:\n"
      "  sudo portbook up\n"
      "  sudo portbook up --data /srv/portbook --listen 127.0.0.1:8080\n"
      "Without root it says what it cannot see and records the rest.");
  command->callback([options, &run] { run = [options] { return up(*options); }; });
}

}  // namespace portbook
