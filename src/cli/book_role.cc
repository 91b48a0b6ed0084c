// The book's process: takes what agents ship, and answers questions.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "book/book.h"
#include "cli/boundaries.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/roles.h"
#include "cli/table.h"
#include "privilege/confine.h"
#include "record/version.h"
#include "server/api.h"
#include "server/connections_ahead.h"
#include "server/door.h"
#include "server/http.h"
#include "server/ingest.h"
#include "server/readers.h"
#include "server/tls.h"
#include "ship/stream_socket.h"

namespace portbook {

namespace {

using SteadyClock = std::chrono::steady_clock;

// A book that was killed may hold its folder for a moment longer.
constexpr std::chrono::seconds kLockPatience{2};
constexpr std::chrono::seconds kAgentPatience{10};
constexpr mode_t kForEverybody = 0666;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;
constexpr uint64_t kDiskLowBytes = kGiB;  // below it the disk is called nearly full

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

Result<std::unique_ptr<Book>> open_book(const BookRole& role) {
  BookOptions options;
  options.folder = role.data;
  options.host = role.host;
  options.origin = role.origin.empty() ? "portbook/" + role.host : role.origin;
  if (role.self_check_rate) options.self_check_rate = *role.self_check_rate;
  if (role.cache_bytes_max != 0) options.block_cache_bytes = role.cache_bytes_max;
  options.keep = role.keep;
  const auto deadline = SteadyClock::now() + kLockPatience;
  while (true) {
    auto book = Book::open(options, system_clock());
    if (book || book.error().code != ErrorCode::kUnavailable || SteadyClock::now() >= deadline) return book;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < kGiB) return fmt::format("{} MiB", bytes / kMiB);
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / static_cast<double>(kGiB));
}

// How much the disk under the book still takes.
CaptureLine disk_line(const std::filesystem::path& data) {
  std::error_code error;
  const auto space = std::filesystem::space(data, error);
  const std::string folder = std::filesystem::absolute(data).string();
  if (error) return {"Disk", "warn", "statfs", fmt::format("How much is free in {} is not known: {}.", folder, error.message())};
  if (space.available >= kDiskLowBytes)
    return {"Disk", "ok", "statfs", fmt::format("{} free in {}.", bytes_text(space.available), folder)};
  return {"Disk", "warn", "statfs",
          fmt::format("Nearly full: {} free in {}. When nothing is left, records wait with the agent, in its spool, and what does "
                      "not fit there is lost and counted as a gap. Make room, or move the book (--data).",
                      bytes_text(space.available), folder)};
}

// Names and sizes of the folder's files, which are few thousands in the greatest books.
StoredBytes stored_bytes(const std::filesystem::path& data) {
  StoredBytes stored;
  std::error_code error;
  for (auto file = std::filesystem::directory_iterator(data, error); !error && file != std::filesystem::directory_iterator();
       file.increment(error)) {
    std::error_code gone;  // meanwhile
    const uint64_t bytes = file->file_size(gone);
    if (gone) continue;
    const std::string name = file->path().filename().string();
    (name.starts_with("log-")       ? stored.log
     : name.starts_with("segment-") ? stored.segments
     : name.starts_with("index-")   ? stored.index
                                    : stored.other) += bytes;
  }
  if (const auto space = std::filesystem::space(data, error); !error) stored.disk_free = space.available;
  return stored;
}

// Where certificate and key may be replaced later, also by links to elsewhere.
std::vector<std::filesystem::path> folders_of(const BookRole& role) {
  std::vector<std::filesystem::path> folders;
  if (role.tls_certificate.empty()) return folders;
  for (const auto& file : {role.tls_certificate, role.tls_key}) {
    std::error_code error;
    folders.push_back(std::filesystem::absolute(file).parent_path());
    if (const auto real = std::filesystem::canonical(file, error); !error) folders.push_back(real.parent_path());
  }
  return folders;
}

// Each reader's connection is a descriptor, and a shell's usual limit is 1,024. What is not allowed is done without: the server
// asks how many there are.
void raise_descriptors() {
  constexpr rlim_t kDescriptors = 65'536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kDescriptors));
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Everything that runs, in the order in which it begins; it ends in the reverse order.
class RunningBook {
 public:
  // Signals must be blocked by now: every thread inherits that, and the one that waits takes them.
  Status start(const BookRole& role, const std::string& own_token) {
    raise_descriptors();
    auto http_options = listen_options(role.listen);
    if (!http_options) return std::unexpected(http_options.error());
    // Before privileges are given up: the key may be root's alone.
    if (!role.tls_certificate.empty()) {
      auto identity = load_tls_identity({role.tls_certificate, role.tls_key});
      if (!identity) return std::unexpected(identity.error());
      http_options->tls = std::move(*identity);
    }
    if (auto status = go_apart(role, http_options->port); !status) return status;
    auto book = open_book(role);
    if (!book) return std::unexpected(book.error());
    book_ = std::move(*book);
    auto credentials = Credentials::load(role.data);
    if (!credentials) return std::unexpected(credentials.error());
    credentials_ = std::move(*credentials);
    auto readers = Readers::load(role.data);
    if (!readers) return std::unexpected(readers.error());
    readers_ = std::move(*readers);
    http_options->unix_socket = role.data / "portbook.sock";
    if (auto status = bind_server(role, *http_options); !status) return status;
    if (auto status = bind_ingest(role, own_token); !status) return status;
    // All sockets are made: none is after this.
    if (auto status = filter_system_calls(Part::kBook, confinement_); !status) return status;
    ingest_->run();
    return {};
  }

  // Questions wait until then.
  void answer() {
    server_->run();
    ahead_ = std::make_unique<ConnectionsAhead>([this] { return book_->view(); });
  }
  Ingest& ingest() { return *ingest_; }

  // Takes a new certificate and key; goes on with the old ones, and says why, when they cannot be used.
  void reload_tls(const BookRole& role) {
    auto identity = load_tls_identity({role.tls_certificate, role.tls_key});
    if (identity) server_->use_tls(std::move(*identity));
    tell("portbook: {}\n",
         identity ? "the certificate was read anew" : "the certificate stays as it is: " + identity.error().message);
  }

  void print_welcome(const BookRole& role) const {
    std::string text;
    const std::string address = server_->port() == 0
                                    ? ""
                                    : fmt::format("{}://{}:{}/", role.tls_certificate.empty() ? "http" : "https",
                                                  address_.contains(':') ? "[" + address_ + "]" : address_, server_->port());
    text += shown("portbook is {}. Page: {}\n", role.supervisor == kNoSupervisor ? "answering" : "recording",
                  inked(Ink::kBold, address));
    text += shown("Public key, keep it somewhere else: {}\n", book_->vkey());
    if (role.supervisor == kNoSupervisor)
      text += shown("Agents ship to: {}\n", role.ingest.empty() ? socket_.string() : role.ingest.string());
    if (!book_->recovery_report().empty()) text += shown("{}\n", inked(Ink::kWarn, book_->recovery_report()));
    if (const auto reason = book_->read_only_reason()) text += shown("{}\n", inked(Ink::kBad, "The book is read-only: " + *reason));
    for (const CaptureLine& line : api_->context().capture_lines()) {
      const Ink ink = line.state == "ok" ? Ink::kGood : line.state == "warn" ? Ink::kWarn : Ink::kDim;
      text += shown("  {}  {}{}{}\n", inked(ink, fmt::format("{:<4}", line.state)), line.what,
                    line.means.empty() ? "" : ", " + line.means, line.detail.empty() ? "" : ". " + line.detail);
    }
    // A book goes on where nobody reads what it says.
    (void)std::fwrite(text.data(), 1, text.size(), stdout);
    (void)std::fflush(stdout);
  }

  ~RunningBook() {
    ahead_.reset();
    if (listening_) book_->unlisten(token_);
    http_.store(nullptr);
    server_.reset();  // its threads ask the ingest
    ingest_shown_.store(nullptr);
    ingest_.reset();
    door_.reset();
    intake_.reset();
    api_.reset();
    readers_.reset();
    credentials_.reset();
    book_.reset();
  }

 private:
  // Gives up everything but the folders, before they are read.
  Status go_apart(const BookRole& role, uint16_t port) {
    socket_ = default_ingest_socket(role.data);
    const auto user = prepare_book(role.data);
    if (!user) return fail_in("the book's folder", user);
    ConfineOptions options;
    options.part = Part::kBook;
    options.user = *user;
    std::error_code error;
    std::filesystem::create_directories(role.data, error);
    // Root's has its mode by now.
    if (std::filesystem::create_directories(socket_.parent_path(), error))
      std::filesystem::permissions(socket_.parent_path(), std::filesystem::perms::owner_all, error);
    if (!role.ingest.empty()) {
      // Its folder is somebody else's, whom the book may not be.
      std::filesystem::create_directories(role.ingest.parent_path(), error);
      if (somebody_listens(role.ingest))
        return fail(ErrorCode::kUnavailable, fmt::format("another process listens on {}", role.ingest.string()));
      auto listener = listen_unix(role.ingest, kForEverybody);
      if (!listener) return std::unexpected(listener.error());
      for_others_ = std::move(*listener);
    }
    options.writable = {role.data, socket_.parent_path()};
    options.readable = folders_of(role);
    options.tcp_port = port;
    options.filter_later = true;
    auto confined = confine(options);
    if (!confined) return fail_in("the book cannot give up its privileges, and does not run", confined);
    confinement_ = std::move(*confined);
    if (*user && access(role.data.c_str(), R_OK | W_OK | X_OK) != 0) {
      return fail(ErrorCode::kDenied,
                  fmt::format("the book runs as {}, never as root, and cannot reach {}: open the folders above it "
                              "(chmod o+x), or place it elsewhere with --data",
                              (*user)->name, role.data.string()));
    }
    return {};
  }

  Status bind_server(const BookRole& role, HttpOptions http_options) {
    ApiOptions options;
    options.host = role.host;
    options.version = kVersion;
    options.started = system_clock().now();
    options.book_lines = [this, data = role.data] {
      const bool whole = confinement_.lacking.empty();
      return std::vector{CaptureLine{"Book", whole ? "ok" : "warn", "seccomp, landlock",
                                     fmt::format("The book and its server run as {}.{}", confinement_.to_text(),
                                                 whole ? "" : " " + confinement_.lacking.front() + ".")},
                         disk_line(data)};
    };
    options.agents = [this] {
      const Ingest* ingest = ingest_shown_.load();
      return ingest == nullptr ? std::vector<AgentStatus>() : ingest->agents();
    };
    options.ingest_statistics = [this] {
      const Ingest* ingest = ingest_shown_.load();
      return ingest == nullptr ? IngestStatistics() : ingest->statistics();
    };
    options.absences = [this] {
      const Ingest* ingest = ingest_shown_.load();
      return ingest == nullptr ? Absences() : ingest->absences();
    };
    options.http_statistics = [this] {
      const HttpServer* server = http_.load();
      return server == nullptr ? HttpStatistics() : server->statistics();
    };
    options.stored = [data = role.data] { return stored_bytes(data); };
    options.readers = [this] { return readers_->list().size(); };
    api_ = std::make_unique<Api>(*book_, system_clock(), std::move(options));
    intake_ = std::make_unique<RecordsIntake>(*book_, *credentials_);
    http_options.admit = [this](const HttpRequest& head, std::optional<uint64_t> bytes) { return intake_->admit(head, bytes); };
    door_ = std::make_unique<Door>(*api_, *readers_, *intake_, system_clock());
    auto server = HttpServer::bind(http_options, [this](const HttpRequest& request) { return door_->answer(request); });
    if (!server) return std::unexpected(server.error());
    server_ = std::move(*server);
    address_ = http_options.address;
    http_.store(server_.get());
    token_ = book_->listen([this](uint64_t) { server_->wake_streams(); });
    listening_ = true;
    return {};
  }

  Status bind_ingest(const BookRole& role, const std::string& own_token) {
    IngestOptions options;
    options.socket = socket_;
    // Into the meeting place come the book's user and the agent's group alone.
    options.mode = kForEverybody;
    if (const auto agent = agent_user(); agent) options.agent_uid = agent->uid;
    if (const auto logs = logs_user(); logs) options.logs_uid = logs->uid;
    options.host = role.host;
    options.program = kVersion;
    options.own_token = own_token;
    auto ingest = Ingest::bind(*book_, *credentials_, std::move(options), system_clock(), std::move(for_others_));
    if (!ingest) return std::unexpected(ingest.error());
    ingest_ = std::move(*ingest);
    ingest_shown_.store(ingest_.get());
    return {};
  }

  std::unique_ptr<Book> book_;
  std::unique_ptr<Credentials> credentials_;
  std::unique_ptr<Readers> readers_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<RecordsIntake> intake_;
  std::unique_ptr<Door> door_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<ConnectionsAhead> ahead_;
  std::atomic<const HttpServer*> http_{nullptr};      // to the server's threads
  std::atomic<const Ingest*> ingest_shown_{nullptr};  // likewise
  Confinement confinement_;                           // before the server runs
  std::filesystem::path socket_;
  FileDescriptor for_others_;  // a socket of agents that need a token; none, or the ingest's
  std::string address_;
  uint64_t token_ = 0;
  bool listening_ = false;
};

}  // namespace

int run_book(const BookRole& role) {
  block_stop_signals();
  std::string token;
  if (role.supervisor != kNoSupervisor) {
    auto given = read_supervisor_token(role.supervisor);
    if (!given) return report(given.error());
    token = std::move(*given);
  }
  RunningBook running;
  if (auto status = running.start(role, token); !status) return report(status.error());
  bool stop = false;
  if (role.supervisor != kNoSupervisor) {
    const char ready = 'R';
    if (write(role.supervisor, &ready, 1) != 1) return report({ErrorCode::kIo, "the supervisor has gone"});
    // The first answer means that everything from now on is captured.
    const auto deadline = SteadyClock::now() + kAgentPatience;
    while (!role.again && !stop && SteadyClock::now() < deadline &&
           !running.ingest().wait_for_own_agent(std::chrono::milliseconds(50)))
      stop = wait_for_stop(role.supervisor, 0);
  }
  if (!stop) {
    running.answer();
    if (!role.again) running.print_welcome(role);
    const auto reload = [&] { running.reload_tls(role); };
    wait_for_stop(role.supervisor, -1, role.tls_certificate.empty() ? std::function<void()>() : reload);
  }
  return 0;
}

}  // namespace portbook
