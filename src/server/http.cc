#include "server/http.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "record/json.h"
#include "server/answer.h"
#include "server/caller.h"

namespace portbook {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
using beast::error_code;

constexpr std::chrono::seconds kIdle{kHttpIdleSeconds};

std::string error_body(std::string_view code, std::string_view message) {
  std::string body = "{\"error\":{\"code\":";
  append_json_string(code, body);
  body += ",\"message\":";
  append_json_string(message, body);
  body += "}}\n";
  return body;
}

Endpoint endpoint_of(const tcp::endpoint& from) {
  const auto address = from.address();
  Endpoint endpoint;
  endpoint.ip = address.is_v4() ? Ip::v4(address.to_v4().to_bytes().data()) : Ip::v6(address.to_v6().to_bytes().data());
  endpoint.port = from.port();
  return endpoint;
}

Result<uint32_t> caller_of(tcp::socket& socket) {
  error_code error;
  const auto client = socket.remote_endpoint(error);
  const auto server = socket.local_endpoint(error);
  if (error) return fail(ErrorCode::kIo, error.message());
  return socket_owner(endpoint_of(client), endpoint_of(server));
}

Result<uint32_t> caller_of(Local::socket& socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return fail(ErrorCode::kIo, "the caller's credentials cannot be read");
  }
  return credentials.uid;
}

// True iff the client has closed its side and nothing waits to be read.
bool has_closed(int socket) {
  char byte = 0;
  return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

// What one connection shares with the handler that answers it. Shared, because either may end first.
struct Exchange : std::enable_shared_from_this<Exchange> {
  explicit Exchange(asio::io_context& io)
      : signal(io), answer([this, &io] { asio::post(io, [self = shared_from_this()] { self->signal.cancel(); }); }) {}
  asio::steady_timer signal;  // never fires by itself; cancelled to wake the connection
  Answer answer;
};

class Server final : public HttpServer {
 public:
  Server(HttpHandler handler) : handler_(std::move(handler)), tcp_(io_), local_(io_) {}
  ~Server() override;

  Status listen(const HttpOptions& options);
  void run();
  [[nodiscard]] uint16_t port() const override { return port_; }

 private:
  template <typename Acceptor>
  asio::awaitable<void> accept_all(Acceptor& acceptor);
  template <typename Socket>
  asio::awaitable<void> converse(Socket socket);
  // One request and its answer; false when the connection is to be closed.
  template <typename Stream>
  asio::awaitable<bool> exchange(Stream& stream, beast::flat_buffer& buffer, const Result<uint32_t>& caller, bool over_tcp);
  template <typename Stream>
  asio::awaitable<bool> send_answer(Stream& stream, std::shared_ptr<Exchange> exchange, bool keep_alive, bool head_only,
                                    unsigned version);
  template <typename Stream>
  asio::awaitable<bool> refuse(Stream& stream, http::status status, std::string_view code, std::string_view message);
  void start_handler(std::shared_ptr<Exchange> exchange, HttpRequest request);
  [[nodiscard]] bool names_us(std::string_view host) const;

  const HttpHandler handler_;
  asio::io_context io_{1};
  tcp::acceptor tcp_;
  Local::acceptor local_;
  std::filesystem::path unix_socket_;
  uint16_t port_ = 0;
  size_t connections_ = 0;  // owner: the network thread
  std::thread network_;

  std::mutex mutex_;
  std::condition_variable idle_;
  // Under mutex_. Shared: an exchange lives as long as both its connection and its handler's thread.
  std::vector<std::shared_ptr<Exchange>> under_way_;
  bool stopping_ = false;
};

Server::~Server() {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    for (const auto& exchange : under_way_) exchange->answer.abandon();
    idle_.wait(lock, [&] { return under_way_.empty(); });
  }
  io_.stop();
  if (network_.joinable()) network_.join();
  if (!unix_socket_.empty()) unlink(unix_socket_.c_str());
}

Status Server::listen(const HttpOptions& options) {
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error)
    return fail(ErrorCode::kBadInput,
                fmt::format("\"{}\" is not an address to listen on; expected such as 127.0.0.1", options.address));
  if (!address.is_loopback()) {
    return fail(
        ErrorCode::kDenied,
        fmt::format(
            "{} is not a loopback address: beyond loopback portbook would need TLS and credentials, which this version lacks; "
            "listen on 127.0.0.1 or ::1, and reach it through ssh -L",
            options.address));
  }
  const tcp::endpoint endpoint(address, options.port);
  tcp_.open(endpoint.protocol(), error);
  if (!error) tcp_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) tcp_.bind(endpoint, error);
  if (!error) tcp_.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("port {} of {} is in use by another program; choose one with --listen", options.port, options.address));
  }
  if (error)
    return fail(ErrorCode::kIo, fmt::format("cannot listen on {} port {}: {}", options.address, options.port, error.message()));
  port_ = tcp_.local_endpoint().port();

  if (!options.unix_socket.empty()) {
    if (options.unix_socket.native().size() >= sizeof(sockaddr_un::sun_path)) {
      return fail(ErrorCode::kBadInput, fmt::format("{}: the path is too long for a unix socket", options.unix_socket.native()));
    }
    unlink(options.unix_socket.c_str());
    const mode_t mask = umask(0177);
    local_.open(Local(), error);
    if (!error) local_.bind(Local::endpoint(options.unix_socket.native()), error);
    umask(mask);
    if (!error) local_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(ErrorCode::kIo, fmt::format("cannot listen on {}: {}", options.unix_socket.native(), error.message()));
    unix_socket_ = options.unix_socket;
  }
  return {};
}

void Server::run() {
  co_spawn(io_, accept_all(tcp_), asio::detached);
  if (local_.is_open()) co_spawn(io_, accept_all(local_), asio::detached);
  network_ = std::thread([this] { io_.run(); });
}

template <typename Acceptor>
asio::awaitable<void> Server::accept_all(Acceptor& acceptor) {
  while (true) {
    error_code error;
    auto socket = co_await acceptor.async_accept(asio::redirect_error(use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      // Out of descriptors, most likely: give connections time to end.
      asio::steady_timer pause(io_, std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::redirect_error(use_awaitable, error));
      continue;
    }
    if (connections_ >= kHttpConnectionsMax) continue;  // closes it
    ++connections_;
    co_spawn(io_, converse(std::move(socket)), [this](const std::exception_ptr&) { --connections_; });
  }
}

template <typename Socket>
asio::awaitable<void> Server::converse(Socket socket) {
  constexpr bool kOverTcp = std::is_same_v<Socket, tcp::socket>;
  if constexpr (kOverTcp) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
  }
  const Result<uint32_t> caller = caller_of(socket);
  beast::basic_stream<typename Socket::protocol_type> stream(std::move(socket));
  beast::flat_buffer buffer(kHttpHeaderBytesMax + kHttpBodyBytesMax);
  while (co_await exchange(stream, buffer, caller, kOverTcp)) {
  }
  error_code ignored;
  stream.socket().shutdown(Socket::shutdown_send, ignored);
}

// "localhost:7171" and the like.
bool Server::names_us(std::string_view host) const {
  for (const std::string_view name : {"localhost", "127.0.0.1", "[::1]"}) {
    if (!host.starts_with(name)) continue;
    const std::string_view rest = host.substr(name.size());
    if (rest.empty() || rest == fmt::format(":{}", port_)) return true;
  }
  return false;
}

template <typename Stream>
asio::awaitable<bool> Server::refuse(Stream& stream, http::status status, std::string_view code, std::string_view message) {
  http::response<http::string_body> response(status, 11);
  response.set(http::field::content_type, "application/json");
  response.set(http::field::connection, "close");
  response.body() = error_body(code, message);
  response.prepare_payload();
  error_code error;
  stream.expires_after(kIdle);
  co_await http::async_write(stream, response, asio::redirect_error(use_awaitable, error));
  co_return false;
}

template <typename Stream>
asio::awaitable<bool> Server::exchange(Stream& stream, beast::flat_buffer& buffer, const Result<uint32_t>& caller, bool over_tcp) {
  http::request_parser<http::string_body> parser;
  parser.header_limit(kHttpHeaderBytesMax);
  parser.body_limit(kHttpBodyBytesMax);
  error_code error;
  stream.expires_after(kIdle);
  co_await http::async_read(stream, buffer, parser, asio::redirect_error(use_awaitable, error));
  if (error == http::error::end_of_stream || error == beast::error::timeout) co_return false;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    co_return co_await refuse(stream, http::status::request_header_fields_too_large, "limit",
                              fmt::format("the request's head is longer than {} bytes", kHttpHeaderBytesMax));
  }
  if (error == http::error::body_limit) {
    co_return co_await refuse(stream, http::status::payload_too_large, "limit",
                              fmt::format("the body is longer than {} bytes", kHttpBodyBytesMax));
  }
  if (error.category() == http::make_error_code(http::error::bad_method).category()) {
    co_return co_await refuse(stream, http::status::bad_request, "bad_input", fmt::format("this is not HTTP: {}", error.message()));
  }
  if (error) co_return false;

  auto& message = parser.get();
  if (!caller || !may_ask(*caller)) {
    co_return co_await refuse(
        stream, http::status::forbidden, "denied",
        caller ? fmt::format("uid {} may not read this book: ask as root, as the book's user, or as a member of the group portbook",
                             *caller)
               : "whose process asks cannot be told, so nothing is answered");
  }
  if (over_tcp) {
    const std::string_view host = message[http::field::host];
    const std::string_view origin = message[http::field::origin];
    if (!names_us(host))
      co_return co_await refuse(stream, http::status::forbidden, "denied", "the Host header does not name this server on loopback");
    if (!origin.empty() && !(origin.starts_with("http://") && names_us(origin.substr(7)))) {
      co_return co_await refuse(stream, http::status::forbidden, "denied", "a page from another origin may not ask");
    }
  }

  HttpRequest request;
  const bool head_only = message.method() == http::verb::head;
  request.method = head_only ? "GET" : std::string(message.method_string());
  if (!parse_target(message.target(), request))
    co_return co_await refuse(stream, http::status::bad_request, "bad_input", "the path or query has a malformed escape");
  request.last_event_id = message["Last-Event-ID"];
  request.if_none_match = message[http::field::if_none_match];
  request.accept_encoding = message[http::field::accept_encoding];
  request.caller_uid = *caller;
  const bool keep_alive = message.keep_alive();
  const unsigned version = message.version();
  request.body = std::move(message.body());

  auto shared = std::make_shared<Exchange>(io_);
  bool busy = false;
  {
    const std::lock_guard lock(mutex_);
    busy = stopping_ || under_way_.size() >= kHttpAnswersMax;
    if (!busy) under_way_.push_back(shared);
  }
  if (busy) {
    co_return co_await refuse(stream, http::status::service_unavailable, "limit",
                              fmt::format("{} answers are under way, which is the limit; try again", kHttpAnswersMax));
  }
  start_handler(shared, std::move(request));
  const bool again = co_await send_answer(stream, shared, keep_alive, head_only, version);
  shared->answer.abandon();
  co_return again;
}

void Server::start_handler(std::shared_ptr<Exchange> exchange, HttpRequest request) {
  // A thread an answer: a tail may run for hours, and a thread costs less than the question.
  std::thread([this, exchange = std::move(exchange), request = std::move(request)]() mutable {
    handler_(request, exchange->answer);
    exchange->answer.finish();
    // Nothing of the server is touched after the lock is given back: its destructor may be waiting for this.
    const std::lock_guard lock(mutex_);
    std::erase(under_way_, exchange);
    exchange.reset();
    idle_.notify_all();
  }).detach();
}

template <typename Stream>
asio::awaitable<bool> Server::send_answer(Stream& stream, std::shared_ptr<Exchange> exchange, bool keep_alive, bool head_only,
                                          unsigned version) {
  using namespace asio::experimental::awaitable_operators;
  Answer& answer = exchange->answer;
  error_code error;
  error_code ignored;
  bool head_sent = false;
  bool watch = true;
  stream.expires_never();
  while (true) {
    exchange->signal.expires_at(asio::steady_timer::time_point::max());
    Answer::Taken taken = answer.take();
    if (!taken.started || (taken.part.empty() && !taken.finished && head_sent)) {
      if (watch) {
        error_code readable;
        const auto first = co_await (exchange->signal.async_wait(asio::redirect_error(use_awaitable, ignored)) ||
                                     stream.socket().async_wait(std::decay_t<decltype(stream.socket())>::wait_read,
                                                                asio::redirect_error(use_awaitable, readable)));
        if (first.index() == 1) {
          if (readable || has_closed(stream.socket().native_handle())) co_return false;
          watch = false;  // the next request is already there; it waits its turn
        }
      } else {
        co_await exchange->signal.async_wait(asio::redirect_error(use_awaitable, ignored));
      }
      continue;
    }
    stream.expires_after(kIdle);
    const Answer::Head& head = answer.head();
    if (head.is_whole) {
      http::response<http::string_body> response(static_cast<http::status>(head.status), version);
      for (const auto& [name, value] : head.headers) response.set(name, value);
      response.set(http::field::content_type, head.content_type);
      response.keep_alive(keep_alive);
      response.body() = std::move(taken.part);
      response.prepare_payload();
      if (head_only) {
        http::response_serializer<http::string_body> serializer(response);
        co_await http::async_write_header(stream, serializer, asio::redirect_error(use_awaitable, error));
      } else {
        co_await http::async_write(stream, response, asio::redirect_error(use_awaitable, error));
      }
      co_return !error && keep_alive;
    }
    if (!head_sent) {
      http::response<http::empty_body> response(static_cast<http::status>(head.status), version);
      for (const auto& [name, value] : head.headers) response.set(name, value);
      response.set(http::field::content_type, head.content_type);
      response.set(http::field::cache_control, "no-store");
      response.chunked(true);
      response.keep_alive(keep_alive);
      http::response_serializer<http::empty_body> serializer(response);
      co_await http::async_write_header(stream, serializer, asio::redirect_error(use_awaitable, error));
      head_sent = true;
      if (head_only) co_return false;
    }
    if (!error && !taken.part.empty()) {
      co_await asio::async_write(stream, http::make_chunk(asio::buffer(taken.part)), asio::redirect_error(use_awaitable, error));
    }
    if (!error && taken.finished) {
      co_await asio::async_write(stream, http::make_chunk_last(), asio::redirect_error(use_awaitable, error));
      co_return !error && keep_alive;
    }
    if (error) co_return false;
    stream.expires_never();
  }
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool unescape(std::string_view text, bool plus_is_blank, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0) return false;
      c = static_cast<char>(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
      i += 2;
      if (c == '\0') return false;
    } else if (c == '+' && plus_is_blank) {
      c = ' ';
    }
    out += c;
  }
  return true;
}

}  // namespace

bool parse_target(std::string_view target, HttpRequest& request) {
  const size_t mark = target.find('?');
  if (!unescape(target.substr(0, mark), false, request.path)) return false;
  if (mark == std::string_view::npos) return true;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    const size_t equals = pair.find('=');
    auto& [name, value] = request.query.emplace_back();
    if (!unescape(pair.substr(0, equals), true, name)) return false;
    if (equals != std::string_view::npos && !unescape(pair.substr(equals + 1), true, value)) return false;
  }
  return true;
}

std::optional<std::string_view> HttpRequest::param(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpOptions& options, HttpHandler handler) {
  auto server = std::make_unique<Server>(std::move(handler));
  if (const auto status = server->listen(options); !status) return std::unexpected(status.error());
  server->run();
  return server;
}

}  // namespace portbook
