// One thread runs every socket as coroutines; a small pool of workers answers. A worker never waits for a client: an answer that
// streams is asked for its next piece only once the client has taken the last one.
#include "server/http.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <cerrno>
#include <cstring>
#include <set>
#include <thread>

#include "record/json.h"

namespace portbook {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::awaitable;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
using boost::system::error_code;

constexpr size_t kBodyBytesMax = 64 * 1024;
constexpr size_t kWorkers = 3;
constexpr auto kHandshakeTimeout = std::chrono::seconds(10);
constexpr auto kGoodbyeTimeout = std::chrono::seconds(2);
constexpr auto kIdleTimeout = std::chrono::seconds(60);   // between requests
constexpr auto kWriteTimeout = std::chrono::seconds(30);  // a client that takes nothing for so long is let go
constexpr auto kWaitMax = std::chrono::milliseconds(1000);

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

using RawRequest = http::request<http::string_body>;

std::string error_body(std::string_view code, std::string_view message) {
  std::string out = fmt::format(R"({{"error":{{"code":"{}","message":)", code);
  append_json_string(message, out);
  return out + "}}\n";
}

HttpResponse refusal(int status, std::string_view code, std::string_view message) {
  HttpResponse response;
  response.status = status;
  response.body = error_body(code, message);
  return response;
}

std::string_view text_of(const boost::core::string_view& text) {
  return {text.data(), text.size()};
}

// "localhost:7171", "127.0.0.1", "[::1]:80": names that cannot be made to point elsewhere.
bool is_loopback_authority(std::string_view authority) {
  std::string_view host = authority;
  if (host.starts_with('[')) {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    host = host.substr(1, close - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  if (host == "localhost") return true;
  const auto ip = parse_ip(host);
  return ip && ip->is_loopback();
}

bool is_loopback_origin(std::string_view origin) {
  constexpr std::string_view kScheme = "http://";
  return origin.starts_with(kScheme) && is_loopback_authority(origin.substr(kScheme.size()));
}

// "https://book.example.org:7171" of the Host header "book.example.org:7171".
bool is_https_origin_of(std::string_view origin, std::string_view host) {
  constexpr std::string_view kScheme = "https://";
  return origin.starts_with(kScheme) && !host.empty() && origin.substr(kScheme.size()) == host;
}

std::shared_ptr<asio::ssl::context> context_of(const TlsIdentity& identity) {
  SSL_CTX_up_ref(identity.get());
  return std::make_shared<asio::ssl::context>(identity.get());  // shared: connections under way keep the one they began with
}

Endpoint endpoint_of(const tcp::endpoint& from) {
  if (from.address().is_v4()) return {Ip::v4(from.address().to_v4().to_uint()), from.port()};
  const auto bytes = from.address().to_v6().to_bytes();
  return {Ip::v6(bytes.data()), from.port()};
}

// True once the client has closed its end, whatever it sent before.
bool has_gone(int fd) {
  pollfd end{fd, POLLRDHUP, 0};
  return poll(&end, 1, 0) > 0;
}

std::optional<HttpRequest> request_of(const RawRequest& raw, const Caller& caller) {
  HttpRequest request;
  request.method = std::string(text_of(raw.method_string()));
  const std::string_view target = text_of(raw.target());
  const size_t mark = target.find('?');
  const auto path = percent_decoded(target.substr(0, mark), false);
  if (!path || !path->starts_with('/')) return std::nullopt;
  request.path = *path;
  std::string_view rest = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const auto key = percent_decoded(pair.substr(0, equals), true);
    const auto value = percent_decoded(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!key || !value || !is_utf8(as_bytes(*key)) || !is_utf8(as_bytes(*value))) return std::nullopt;
    request.params.emplace_back(*key, *value);
  }
  request.last_event_id = std::string(text_of(raw["Last-Event-ID"]));
  request.if_none_match = std::string(text_of(raw[http::field::if_none_match]));
  request.authorization = std::string(text_of(raw[http::field::authorization]));
  request.cookie = std::string(text_of(raw[http::field::cookie]));
  request.body = raw.body();
  request.accepts_html = text_of(raw[http::field::accept]).find("text/html") != std::string_view::npos;
  request.accepts_gzip = text_of(raw[http::field::accept_encoding]).find("gzip") != std::string_view::npos;
  request.caller = caller;
  return request;
}

class Server final : public HttpServer {
 public:
  explicit Server(HttpHandler handler) : handler_(std::move(handler)), workers_(kWorkers), tcp_(io_), local_(io_) {}

  ~Server() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    workers_.join();  // what is under way ends by itself, within a piece of a stream or one bounded answer
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
      for (asio::steady_timer* timer : waiting_) timer->cancel();
    });
  }

  HttpStatistics statistics() const override { return {requests_, refused_, local_connections_ + remote_connections_, streams_}; }

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
      asio::co_spawn(io_, serve_one(std::move(socket)), asio::detached);
    }
  }

  // Counts it, and lets it in unless there are too many of its kind: who comes from elsewhere takes no place from this machine's.
  awaitable<void> serve_one(tcp::socket socket) {
    if (tls_ == nullptr) return serve(std::move(socket), local_connections_);
    return serve_tls(std::move(socket));
  }
  awaitable<void> serve_one(Local::socket socket) { return serve(std::move(socket), local_connections_); }

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

  template <typename Socket>
  awaitable<void> serve(Socket socket, std::atomic<uint64_t>& open) {
    const auto caller = caller_of(socket);
    beast::basic_stream<typename Socket::protocol_type> stream(std::move(socket));
    if (++open > kConnectionsMax) {
      ++refused_;
      co_await write_whole(stream, too_many_connections(), 11, false, false);
    } else if (!caller) {
      ++refused_;
      co_await write_whole(stream, refusal(403, "denied", "the caller could not be identified: " + caller.error().message), 11,
                           false, false);
    } else if (!may_ask(caller->uid)) {
      ++refused_;
      co_await write_whole(
          stream,
          refusal(403, "denied",
                  fmt::format("user {} may not read this book: allowed are root, {} and members of the group portbook",
                              user_name(caller->uid), user_name(geteuid()))),
          11, false, false);
    } else {
      co_await serve_requests(stream, *caller);
    }
    error_code ignored;
    stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
    --open;
  }

  static HttpResponse too_many_connections() {
    return refusal(503, "unavailable", fmt::format("more than {} connections are open; try again", kConnectionsMax));
  }

  awaitable<void> serve_tls(tcp::socket socket) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    beast::tcp_stream plain(std::move(socket));
    const bool room = ++remote_connections_ <= kConnectionsMax;
    // Without room nothing is said: saying it would cost a handshake.
    if (room) co_await shake_hands(std::move(plain));
    if (!room) ++refused_;
    --remote_connections_;
  }

  awaitable<void> shake_hands(beast::tcp_stream plain) {
    beast::flat_buffer buffer;
    plain.expires_after(kHandshakeTimeout);
    const auto [unreadable, is_tls] = co_await beast::async_detect_ssl(plain, buffer, kAwait);
    if (unreadable) {
      ++refused_;
      co_return;
    }
    if (!is_tls) {
      ++refused_;
      co_await write_whole(plain, refusal(400, "bad_input", "this port speaks TLS: ask https:// and not http://"), 11, false,
                           false);
      co_return;
    }
    const auto context = tls_;  // another may take its place meanwhile
    beast::ssl_stream<beast::tcp_stream> stream(std::move(plain), *context);
    beast::get_lowest_layer(stream).expires_after(kHandshakeTimeout);
    const auto [error, taken] = co_await stream.async_handshake(asio::ssl::stream_base::server, buffer.data(), kAwait);
    if (error) {
      ++refused_;
      co_return;
    }
    co_await serve_requests(stream, Caller{.uid = 0, .unix_socket = false, .remote = true, .token = ""});
    beast::get_lowest_layer(stream).expires_after(kGoodbyeTimeout);
    co_await stream.async_shutdown(kAwait);
  }

  template <typename Stream>
  awaitable<void> serve_requests(Stream& stream, Caller caller) {
    beast::flat_buffer buffer;
    while (true) {
      http::request_parser<http::string_body> parser;
      parser.header_limit(kRequestHeaderBytesMax);
      parser.body_limit(kBodyBytesMax);
      beast::get_lowest_layer(stream).expires_after(kIdleTimeout);
      const auto [error, bytes] = co_await http::async_read(stream, buffer, parser, kAwait);
      if (error) {
        co_await answer_unreadable(stream, error);
        co_return;
      }
      ++requests_;
      const RawRequest raw = parser.release();
      HttpResponse response = co_await answer(raw, caller);
      if (response.status >= 400) ++refused_;
      const bool keep_alive = raw.keep_alive() && response.status < 500;
      const bool head = raw.method() == http::verb::head;
      const bool went = response.stream && !head ? co_await write_stream(stream, std::move(response), raw.version())
                                                 : co_await write_whole(stream, response, raw.version(), keep_alive, head);
      if (!went || !keep_alive) co_return;
    }
  }

  template <typename Stream>
  awaitable<void> answer_unreadable(Stream& stream, error_code error) {
    if (error == http::error::end_of_stream || error == beast::error::timeout || error == asio::error::operation_aborted ||
        error == asio::error::connection_reset || error == http::error::partial_message) {
      co_return;
    }
    ++refused_;
    HttpResponse response = refusal(400, "bad_input", fmt::format("this is not an HTTP request: {}", error.message()));
    if (error == http::error::header_limit)
      response = refusal(431, "limit", fmt::format("the request's header is longer than {} bytes", kRequestHeaderBytesMax));
    if (error == http::error::body_limit)
      response = refusal(413, "limit", fmt::format("the request's body is longer than {} bytes", kBodyBytesMax));
    co_await write_whole(stream, response, 11, false, false);
  }

  awaitable<HttpResponse> answer(const RawRequest& raw, const Caller& caller) {
    if (raw.target().size() > kRequestTargetBytesMax) {
      co_return refusal(414, "limit", fmt::format("the path and query are longer than {} bytes", kRequestTargetBytesMax));
    }
    const std::string_view host = text_of(raw[http::field::host]);
    if (!caller.unix_socket && !caller.remote && !is_loopback_authority(host)) {
      co_return refusal(403, "denied",
                        "the Host header names no loopback address; open the page as http://127.0.0.1 or http://localhost");
    }
    const std::string_view origin = text_of(raw[http::field::origin]);
    const bool own_origin = caller.remote ? is_https_origin_of(origin, host) : is_loopback_origin(origin);
    const std::string_view site = text_of(raw["Sec-Fetch-Site"]);
    const bool followed_link = text_of(raw["Sec-Fetch-Mode"]) == "navigate" && raw.method() == http::verb::get;
    if ((!origin.empty() && !own_origin) || ((site == "cross-site" || (site == "same-site" && caller.remote)) && !followed_link)) {
      co_return refusal(403, "denied", "another web site may not read this book");
    }
    auto request = request_of(raw, caller);
    if (!request) co_return refusal(400, "bad_input", "the path or query is not valid percent-encoded UTF-8");
    request->received = system_clock().now();
    while (true) {
      HttpResponse response = co_await asio::co_spawn(
          workers_, [&]() -> awaitable<HttpResponse> { co_return handler_(*request); }, asio::use_awaitable);
      if (response.ask_again.count() == 0) co_return response;
      asio::steady_timer pause(io_, response.ask_again);
      const auto [error] = co_await pause.async_wait(kAwait);
      if (error) co_return refusal(503, "unavailable", "the book is stopping");
    }
  }

  static void put_headers(const HttpResponse& response, auto& message) {
    message.set(http::field::server, "portbook");
    message.set(http::field::content_type, response.content_type);
    message.set(http::field::cache_control, "no-store");
    message.set("X-Content-Type-Options", "nosniff");
    message.set("Cross-Origin-Resource-Policy", "same-origin");
    for (const auto& [name, value] : response.headers) message.set(name, value);
  }

  template <typename Stream>
  awaitable<bool> write_whole(Stream& stream, const HttpResponse& response, unsigned version, bool keep_alive, bool head) {
    const std::string_view body = response.fixed_body.empty() ? std::string_view(response.body) : response.fixed_body;
    http::response<http::span_body<const char>> message(static_cast<http::status>(response.status), version);
    put_headers(response, message);
    message.keep_alive(keep_alive);
    message.body() = beast::span<const char>(body.data(), body.size());
    if (response.status != 304) message.content_length(body.size());
    beast::get_lowest_layer(stream).expires_after(kWriteTimeout);
    http::response_serializer<http::span_body<const char>> serializer(message);
    if (head || response.status == 304) {
      const auto [error, bytes] = co_await http::async_write_header(stream, serializer, kAwait);
      co_return !error;
    }
    const auto [error, bytes] = co_await http::async_write(stream, serializer, kAwait);
    co_return !error;
  }

  // Writes the body piece by piece; false when the client has gone or took nothing for too long.
  template <typename Stream>
  awaitable<bool> write_stream(Stream& stream, HttpResponse response, unsigned version) {
    if (streams_ >= kStreamsMax) {
      ++refused_;
      co_return co_await write_whole(
          stream, refusal(503, "unavailable", fmt::format("more than {} answers are streaming; try again", kStreamsMax)), version,
          false, false);
    }
    ++streams_;
    const bool whole = co_await write_chunks(stream, response, version);
    --streams_;
    co_return whole;
  }

  template <typename Stream>
  awaitable<bool> write_chunks(Stream& stream, HttpResponse& response, unsigned version) {
    http::response<http::empty_body> message(static_cast<http::status>(response.status), version);
    put_headers(response, message);
    message.chunked(true);
    http::response_serializer<http::empty_body> serializer(message);
    beast::get_lowest_layer(stream).expires_after(kWriteTimeout);
    if (const auto [error, bytes] = co_await http::async_write_header(stream, serializer, kAwait); error) co_return false;
    std::string piece;
    while (true) {
      piece.clear();
      const uint64_t generation = generation_.load(std::memory_order_acquire);
      const auto next = co_await asio::co_spawn(
          workers_, [&]() -> awaitable<BodyStream::Next> { co_return response.stream->next(piece); }, asio::use_awaitable);
      if (!piece.empty()) {
        beast::get_lowest_layer(stream).expires_after(kWriteTimeout);
        const auto [error, bytes] = co_await asio::async_write(stream, http::make_chunk(asio::buffer(piece)), kAwait);
        if (error) co_return false;
      } else if (has_gone(beast::get_lowest_layer(stream).socket().native_handle())) {
        co_return false;
      }
      if (next == BodyStream::Next::kEnd) break;
      if (next == BodyStream::Next::kWait) co_await wait_for_more(generation);
    }
    beast::get_lowest_layer(stream).expires_after(kWriteTimeout);
    const auto [error, bytes] = co_await asio::async_write(stream, http::make_chunk_last(), kAwait);
    co_return !error;
  }

  // Returns when the book has grown since `generation` was read, or after kWaitMax.
  awaitable<void> wait_for_more(uint64_t generation) {
    asio::steady_timer timer(io_, kWaitMax);
    waiting_.insert(&timer);
    if (generation_.load(std::memory_order_acquire) == generation) co_await timer.async_wait(kAwait);
    waiting_.erase(&timer);
  }

  HttpHandler handler_;
  // Coroutine frames of io_ may refer to workers_ and to the sockets: they are destroyed in the reverse order of this list.
  std::set<asio::steady_timer*> waiting_;  // io thread
  asio::thread_pool workers_;
  asio::io_context io_{1};
  tcp::acceptor tcp_;
  Local::acceptor local_;
  std::thread thread_;
  std::shared_ptr<asio::ssl::context> tls_;  // io thread, once it runs; none: plain HTTP
  std::string unix_path_;
  uint16_t port_ = 0;
  std::atomic<uint64_t> generation_{0};  // commits seen by wake_streams()
  std::atomic<bool> wake_posted_{false};
  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> local_connections_{0};
  std::atomic<uint64_t> remote_connections_{0};
  std::atomic<uint64_t> streams_{0};
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::bind(const HttpOptions& options, HttpHandler handler) {
  auto server = std::make_unique<Server>(std::move(handler));
  if (auto status = server->listen(options); !status) return std::unexpected(status.error());
  return server;
}

}  // namespace portbook
