// One thread runs every socket as coroutines; a small pool of workers answers. A worker never waits for a client: an answer that
// streams is asked for its next piece only once the client has taken the last one. Tails take turns, so that a thousand of them
// take little from anybody else, and come later when there are many.
#include "server/http.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <latch>
#include <list>
#include <thread>

#include "server/connection.h"
#include "server/http_message.h"

namespace portbook {

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
using boost::system::error_code;
using SteadyClock = std::chrono::steady_clock;

constexpr size_t kWorkers = 3;
constexpr int kTailNiceness = 10;  // about a tenth of a processor that others want too
constexpr auto kHandshakeTimeout = std::chrono::seconds(10);
constexpr auto kGoodbyeTimeout = std::chrono::seconds(2);
constexpr auto kIdleTimeout = std::chrono::seconds(60);   // between requests, and for one to come whole
constexpr auto kWriteTimeout = std::chrono::seconds(30);  // a client that takes less than a piece in so long is let go
constexpr auto kWaitMax = std::chrono::milliseconds(1000);
constexpr auto kTailWorkMax = std::chrono::milliseconds(10);  // then the next tail has its turn
constexpr double kTailPiecesAtOnce = 8;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

std::shared_ptr<asio::ssl::context> context_of(const TlsIdentity& identity) {
  SSL_CTX_up_ref(identity.get());
  return std::make_shared<asio::ssl::context>(identity.get());  // shared: connections under way keep the one they began with
}

Endpoint endpoint_of(const tcp::endpoint& from) {
  if (from.address().is_v4()) return {Ip::v4(from.address().to_v4().to_uint()), from.port()};
  const auto bytes = from.address().to_v6().to_bytes();
  return {Ip::v6(bytes.data()), from.port()};
}

// Each connection is a descriptor: most are left for the book's own files.
size_t connections_max() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kConnectionsMax;
  return std::min<size_t>(kConnectionsMax, limit.rlim_cur / 4);
}

// Counts something while it lives.
class Counted {
 public:
  explicit Counted(std::atomic<uint64_t>& count, uint64_t by = 1) : count_(count), by_(by) { count_ += by_; }
  ~Counted() { count_ -= by_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<uint64_t>& count_;
  uint64_t by_;
};

class Server final : public HttpServer {
 public:
  Server(HttpHandler handler, HttpAdmit admit)
      : handler_(std::move(handler)),
        admit_(std::move(admit)),
        workers_(kWorkers),
        tail_worker_(1),
        tcp_(io_),
        local_(io_),
        turn_timer_(io_) {
    // Now, before system calls are filtered. Of a thread, which has a priority of its own on Linux: setpriority(2), "C
    // library/kernel differences". A failure leaves tails as they were.
    std::latch done(1);
    asio::post(tail_worker_, [&done] {
      setpriority(PRIO_PROCESS, 0, kTailNiceness);
      done.count_down();
    });
    done.wait();
  }

  ~Server() override {
    stopping_ = true;
    io_.stop();
    if (thread_.joinable()) thread_.join();
    workers_
        .join();  // what is under way ends by itself, within a piece of a stream or one bounded answer; what waits is passed over
    tail_worker_.join();
    if (!unix_path_.empty()) unlink(unix_path_.c_str());
  }

  Status listen(const HttpOptions& options) {
    if (auto status = listen_tcp(options); !status) return status;
    if (!options.unix_socket.empty()) {
      if (auto status = listen_unix(options.unix_socket); !status) return status;
    }
    return {};
  }

  void run() override {
    asio::co_spawn(io_, accept(tcp_), asio::detached);
    if (local_.is_open()) asio::co_spawn(io_, accept(local_), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }

  uint16_t port() const override { return port_; }

  void use_tls(TlsIdentity identity) override {
    asio::post(io_, [this, identity = std::move(identity)] { tls_ = context_of(identity); });
  }

  void wake_streams() override {
    generation_.fetch_add(1, std::memory_order_release);
    if (wake_posted_.exchange(true)) return;
    asio::post(io_, [this] {
      wake_posted_ = false;
      take_turns();
    });
  }

  HttpStatistics statistics() const override {
    return {requests_, refused_, local_connections_ + remote_connections_, streams_, tails_};
  }

 private:
  Status listen_tcp(const HttpOptions& options) {
    error_code error;
    const auto address = asio::ip::make_address(options.address, error);
    if (error) return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is not an address to listen on", options.address));
    if (!address.is_loopback() && options.tls == nullptr) {
      return fail(ErrorCode::kBadInput, fmt::format("listening on {} shows the book to other machines, which needs TLS "
                                                    "(--tls-cert FILE --tls-key FILE), and a token for each reader (portbook token "
                                                    "add NAME); 127.0.0.1 shows it to this machine alone",
                                                    options.address));
    }
    if (options.tls) tls_ = context_of(options.tls);
    const tcp::endpoint endpoint(address, options.port);
    tcp_.open(endpoint.protocol(), error);
    if (!error) tcp_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) tcp_.bind(endpoint, error);
    if (error == asio::error::address_in_use) {
      return fail(ErrorCode::kUnavailable,
                  fmt::format("{}:{} is in use by another program; choose another with --listen ADDRESS:PORT", options.address,
                              options.port));
    }
    if (error == asio::error::access_denied) {
      return fail(ErrorCode::kDenied, fmt::format("this user may not listen on port {}", options.port));
    }
    if (!error) tcp_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(ErrorCode::kIo, fmt::format("listening on {}:{}: {}", options.address, options.port, error.message()));
    port_ = tcp_.local_endpoint(error).port();
    return {};
  }

  Status listen_unix(const std::filesystem::path& path) {
    if (path.string().size() >= sizeof(sockaddr_un::sun_path)) {
      return fail(ErrorCode::kBadInput, fmt::format("the path of the unix socket is longer than {} bytes: {}",
                                                    sizeof(sockaddr_un::sun_path) - 1, path.string()));
    }
    // The book's folder is locked by now, so a socket that lies there is one that a killed book left.
    unlink(path.c_str());
    error_code error;
    local_.open(Local(), error);
    const mode_t before = umask(0177);
    if (!error) local_.bind(Local::endpoint(path.string()), error);
    umask(before);
    if (!error) local_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(ErrorCode::kIo, fmt::format("listening on {}: {}", path.string(), error.message()));
    unix_path_ = path.string();
    return {};
  }

  template <typename Acceptor>
  awaitable<void> accept(Acceptor& acceptor) {
    while (true) {
      auto [error, socket] = co_await acceptor.async_accept(kAwait);
      if (error == asio::error::operation_aborted) co_return;
      if (error) {
        // Out of descriptors: those of clients that leave come back.
        asio::steady_timer pause(io_, std::chrono::milliseconds(100));
        co_await pause.async_wait(kAwait);
        continue;
      }
      // An answer is written in pieces: the second would wait for the first one's acknowledgement, up to 40 ms.
      if constexpr (std::is_same_v<Acceptor, tcp::acceptor>) socket.set_option(tcp::no_delay(true), error);
      asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
    }
  }

  static Result<Caller> caller_of(const tcp::socket& socket) {
    error_code error;
    const auto remote = socket.remote_endpoint(error);
    if (error) return fail(ErrorCode::kNotFound, "the caller has gone");
    const auto local = socket.local_endpoint(error);
    const auto uid = owner_of_socket(endpoint_of(remote), endpoint_of(local));
    if (!uid) return std::unexpected(uid.error());
    return Caller{.uid = *uid, .unix_socket = false, .remote = false, .token = ""};
  }
  static Result<Caller> caller_of(Local::socket& socket) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
      return fail(ErrorCode::kIo, fmt::format("asking who calls: {}", strerror(errno)));
    }
    return Caller{.uid = credentials.uid, .unix_socket = true, .remote = false, .token = ""};
  }

  // Lets it in unless there are too many of its kind: who comes from elsewhere takes no place from this machine's.
  awaitable<void> serve(tcp::socket socket) {
    if (tls_ != nullptr) return serve_remote(std::move(socket));
    auto caller = caller_of(socket);
    return serve_local(plain_connection(std::move(socket)), std::move(caller));
  }
  awaitable<void> serve(Local::socket socket) {
    auto caller = caller_of(socket);
    return serve_local(plain_connection(std::move(socket)), std::move(caller));
  }

  awaitable<void> serve_local(std::unique_ptr<Connection> connection, Result<Caller> caller) {
    const Counted open(local_connections_);
    if (local_connections_ > connections_max_) {
      co_await refuse(*connection,
                      refusal(503, "unavailable", fmt::format("more than {} connections are open; try again", connections_max_)));
    } else if (!caller) {
      co_await refuse(*connection, refusal(403, "denied", "the caller could not be identified: " + caller.error().message));
    } else if (!may_ask(caller->uid)) {
      co_await refuse(*connection,
                      refusal(403, "denied",
                              fmt::format("user {} may not read this book: allowed are root, {} and members of the group portbook",
                                          user_name(caller->uid), user_name(geteuid()))));
    } else {
      co_await serve_requests(*connection, *caller);
    }
    co_await connection->close(kGoodbyeTimeout);
  }

  awaitable<void> serve_remote(tcp::socket socket) {
    const Counted open(remote_connections_);
    if (remote_connections_ > connections_max_) {
      ++refused_;  // nothing is said: saying it would cost a handshake
      co_return;
    }
    const Greeted greeted = co_await greet_tls(std::move(socket), tls_, kHandshakeTimeout);
    if (!greeted.connection) {
      ++refused_;
      co_return;
    }
    if (greeted.tls) {
      co_await serve_requests(*greeted.connection, Caller{.uid = 0, .unix_socket = false, .remote = true, .token = ""});
    } else {
      co_await refuse(*greeted.connection, refusal(400, "bad_input", "this port speaks TLS: ask https:// and not http://"));
    }
    co_await greeted.connection->close(kGoodbyeTimeout);
  }

  awaitable<void> refuse(Connection& connection, HttpResponse response) {
    ++refused_;
    co_await write_whole(connection, response, 11, false, false);
  }

  awaitable<void> serve_requests(Connection& connection, Caller caller) {
    RequestReader reader(admit_);
    while (true) {
      auto step = reader.next();
      while (std::holds_alternative<RequestReader::NeedMore>(step)) {
        if (reader.take_wants_continue() && !co_await connection.write(kContinue, "", kWriteTimeout)) co_return;
        const size_t bytes = co_await connection.read(reader.space(), kIdleTimeout);
        if (bytes == 0) co_return;
        reader.took(bytes);
        step = reader.next();
      }
      if (auto* unreadable = std::get_if<HttpResponse>(&step)) {
        co_await refuse(connection, std::move(*unreadable));
        co_return;
      }
      ++requests_;
      auto& read = std::get<ReadRequest>(step);
      HttpResponse response = co_await answer(read, caller);
      if (response.status >= 400) ++refused_;
      const bool keep_alive = read.keep_alive && response.status < 500;
      const bool head = read.request.method == "HEAD";
      const bool went = response.stream && !head ? co_await write_stream(connection, std::move(response), read.version)
                                                 : co_await write_whole(connection, response, read.version, keep_alive, head);
      if (!went || !keep_alive) co_return;
    }
  }

  awaitable<HttpResponse> answer(ReadRequest& read, const Caller& caller) {
    if (auto refused = refused_unseen(read, caller)) co_return std::move(*refused);
    HttpRequest& request = read.request;
    request.caller = caller;
    request.received = system_clock().now();
    while (true) {
      HttpResponse response;
      co_await work_on(workers_, [&] { response = handler_(request); });
      if (response.ask_again.count() == 0) co_return response;
      asio::steady_timer pause(io_, response.ask_again);
      const auto [error] = co_await pause.async_wait(kAwait);
      if (error) co_return refusal(503, "unavailable", "the book is stopping");
    }
  }

  // Returns, on the io thread, when a worker has done it.
  awaitable<void> work_on(asio::thread_pool& pool, std::function<void()> work) {
    co_await asio::co_spawn(
        pool,
        [this, &work]() -> awaitable<void> {
          if (!stopping_) work();
          co_return;
        },
        asio::use_awaitable);
  }

  awaitable<bool> write_whole(Connection& connection, const HttpResponse& response, unsigned version, bool keep_alive, bool head) {
    const std::string_view body = response.fixed_body.empty() ? std::string_view(response.body) : response.fixed_body;
    if (untaken_bytes_ + response.body.size() > kUntakenBytesMax && response.status < 400) {
      ++refused_;
      co_return co_await write_whole(
          connection,
          refusal(503, "unavailable", fmt::format("answers of {} MiB wait for their clients; try again", kUntakenBytesMax >> 20)),
          version, false, head);
    }
    const Counted untaken(untaken_bytes_, response.body.size());
    const bool none = response.status == 304;
    const std::string lines = response_head(response, version, keep_alive, none ? BodyIs::kNone : BodyIs::kWhole, body.size());
    co_return co_await connection.write(lines, head || none ? std::string_view() : body, kWriteTimeout);
  }

  // Writes the body piece by piece; false when the client has gone or took nothing for too long.
  awaitable<bool> write_stream(Connection& connection, HttpResponse response, unsigned version) {
    const bool lasts = response.stream->lasts();
    std::atomic<uint64_t>& open = lasts ? tails_ : streams_;
    const size_t max = lasts ? std::min(kTailsMax, connections_max_) : kStreamsMax;
    if (open >= max) {
      ++refused_;
      co_return co_await write_whole(
          connection,
          refusal(503, "unavailable",
                  fmt::format("more than {} {}; try again", max, lasts ? "tails are open" : "answers are streaming")),
          version, false, false);
    }
    const Counted counted(open);
    const std::string lines = response_head(response, version, true, BodyIs::kChunked, 0);
    if (!co_await connection.write(lines, "", kWriteTimeout)) co_return false;
    co_return co_await write_pieces(connection, *response.stream);
  }

  awaitable<bool> write_pieces(Connection& connection, BodyStream& stream) {
    const bool lasts = stream.lasts();
    std::string piece;
    auto next = BodyStream::Next::kMore;
    while (next != BodyStream::Next::kEnd) {
      piece.clear();
      const uint64_t generation = generation_.load(std::memory_order_acquire);
      co_await work_on(lasts ? tail_worker_ : workers_, [&] {
        const auto until = SteadyClock::now() + kTailWorkMax;
        do {
          next = stream.next(piece);
        } while (lasts && next == BodyStream::Next::kMore && piece.size() < kChunkBytes && SteadyClock::now() < until);
      });
      if (piece.empty() ? connection.has_gone() : !co_await write_piece(connection, piece)) co_return false;
      // Also a tail that has more to say waits for its turn: what it has seen is older than every generation.
      if (lasts && next != BodyStream::Next::kEnd) co_await wait_for_turn(next == BodyStream::Next::kMore ? 0 : generation);
    }
    co_return co_await connection.write(kLastChunk, "", kWriteTimeout);
  }

  awaitable<bool> write_piece(Connection& connection, std::string& piece) {
    const std::string head = chunk_head(piece.size());
    piece += kChunkEnd;
    co_return co_await connection.write(head, piece, kWriteTimeout);
  }

  struct Waiting {
    asio::steady_timer timer;
    uint64_t generation;  // what it has seen
  };

  // Returns at the stream's turn after the book has grown since `generation` was read, or after kWaitMax.
  awaitable<void> wait_for_turn(uint64_t generation) {
    Waiting waiting{asio::steady_timer(io_, kWaitMax), generation};
    const auto place = waiting_.insert(waiting_.end(), &waiting);
    if (waiting.generation != generation_.load(std::memory_order_acquire) && !turn_is_set_) {
      turn_is_set_ = true;
      asio::post(io_, [this] { take_turns(); });
    }
    co_await waiting.timer.async_wait(kAwait);
    waiting_.erase(place);
  }

  // Wakes those that have waited longest, as many as may be woken now, and comes again for the others.
  void take_turns() {
    const auto now = SteadyClock::now();
    const double elapsed_ms = std::chrono::duration<double, std::milli>(now - last_turn_).count();
    last_turn_ = now;
    turns_ = std::min(kTailPiecesAtOnce, turns_ + elapsed_ms * kTailPiecesPerMs);
    const uint64_t generation = generation_.load(std::memory_order_acquire);
    double left = 0;  // whose turn comes later
    for (Waiting* waiting : waiting_) {
      if (waiting->generation == generation || waiting->timer.expiry() <= now) continue;
      if (turns_ < 1) {
        ++left;
        continue;
      }
      turns_ -= 1;
      waiting->timer.expires_at(SteadyClock::time_point::min());  // and is passed over from now on
    }
    turn_is_set_ = left > 0;
    if (left == 0) return;
    const double missing = std::min(left, kTailPiecesAtOnce) - turns_;
    turn_timer_.expires_after(std::chrono::microseconds(static_cast<int64_t>(missing / kTailPiecesPerMs * 1000)));
    turn_timer_.async_wait([this](const error_code& error) {
      if (!error) take_turns();
    });
  }

  HttpHandler handler_;
  const HttpAdmit admit_;
  const size_t connections_max_ = connections_max();
  // Coroutine frames of io_ may refer to what stands before it and to the sockets: they are destroyed in the reverse order of this
  // list.
  std::list<Waiting*> waiting_;  // io thread; those that have waited longest first
  asio::thread_pool workers_;
  asio::thread_pool tail_worker_;
  asio::io_context io_{1};
  tcp::acceptor tcp_;
  Local::acceptor local_;
  asio::steady_timer turn_timer_;
  std::thread thread_;
  std::shared_ptr<asio::ssl::context> tls_;  // io thread, once it runs; none: plain HTTP
  std::string unix_path_;
  uint16_t port_ = 0;
  double turns_ = kTailPiecesAtOnce;  // that may be taken at last_turn_; io thread
  SteadyClock::time_point last_turn_ = SteadyClock::now();
  bool turn_is_set_ = false;  // take_turns() comes by itself
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> generation_{1};  // commits seen by wake_streams(), and one
  std::atomic<bool> wake_posted_{false};
  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> local_connections_{0};
  std::atomic<uint64_t> remote_connections_{0};
  std::atomic<uint64_t> streams_{0};
  std::atomic<uint64_t> tails_{0};
  std::atomic<uint64_t> untaken_bytes_{0};
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::bind(const HttpOptions& options, HttpHandler handler) {
  auto server = std::make_unique<Server>(std::move(handler), options.admit);
  if (auto status = server->listen(options); !status) return std::unexpected(status.error());
  return server;
}

}  // namespace portbook
