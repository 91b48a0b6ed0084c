#include "cli/client.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <simdjson.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

#include "record/endpoint.h"
#include "server/http.h"

namespace portbook {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

constexpr size_t kLineBytesMax = 16 * 1024 * 1024;

struct ErrorName {
  std::string_view name;
  ErrorCode code;
};
constexpr auto kErrorNames = std::to_array<ErrorName>({{"bad_input", ErrorCode::kBadInput},
                                                       {"not_found", ErrorCode::kNotFound},
                                                       {"denied", ErrorCode::kDenied},
                                                       {"io", ErrorCode::kIo},
                                                       {"corrupt", ErrorCode::kCorrupt},
                                                       {"limit", ErrorCode::kLimit},
                                                       {"unavailable", ErrorCode::kUnavailable},
                                                       {"newer", ErrorCode::kNewer}});

// The book's {"error":{…}} as an error of ours.
Error error_of(int status, std::string_view body) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(body);
  simdjson::dom::element error;
  std::string_view code;
  std::string_view message;
  if (parser.parse(padded)["error"].get(error) != simdjson::SUCCESS || error["code"].get(code) != simdjson::SUCCESS ||
      error["message"].get(message) != simdjson::SUCCESS) {
    return {ErrorCode::kIo, fmt::format("the book answered with HTTP status {}", status)};
  }
  Error out{ErrorCode::kIo, std::string(message)};
  for (const ErrorName& name : kErrorNames) {
    if (name.name == code) out.code = name.code;
  }
  uint64_t position = 0;
  std::string_view expected;
  if (error["position"].get(position) == simdjson::SUCCESS && error["expected"].get(expected) == simdjson::SUCCESS) {
    out.message += fmt::format(" (at position {}; expected {})", position + 1, expected);
  }
  return out;
}

}  // namespace

Error book_error(std::string_view line) {
  return error_of(200, line);
}

namespace {

std::string target_of(std::string_view path, const Client::Params& params) {
  std::string target(path);
  char sign = '?';
  for (const auto& [name, value] : params) {
    if (value.empty()) continue;
    target += fmt::format("{}{}={}", sign, name, percent_encoded(value));
    sign = '&';
  }
  return target;
}

// Sends the request and hands the body over piece by piece until take() returns false.
template <typename Socket>
Status exchange(Socket& socket, http::verb verb, const std::string& host, const std::string& token, const std::string& target,
                const std::function<bool(std::string_view)>& take) {
  error_code error;
  http::request<http::empty_body> request(verb, target, 11);
  request.set(http::field::host, host);
  request.set(http::field::user_agent, "portbook");
  if (!token.empty()) request.set(http::field::authorization, "Bearer " + token);
  request.keep_alive(false);
  // A book that refuses the caller answers before it has read anything: the answer counts, not a failed write.
  http::write(socket, request, error);
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  http::read_header(socket, buffer, parser, error);
  if (error) return fail(ErrorCode::kIo, fmt::format("the book's answer broke off: {}", error.message()));
  const int status = static_cast<int>(parser.get().result_int());
  std::string failure;
  std::array<char, 64 * 1024> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    http::read_some(socket, buffer, parser, error);
    if (error == http::error::need_buffer) error = {};
    if (error) return fail(ErrorCode::kIo, fmt::format("the book's answer broke off: {}", error.message()));
    const std::string_view got(piece.data(), piece.size() - parser.get().body().size);
    if (status != 200) {
      failure += got;
    } else if (!got.empty() && !take(got)) {
      return {};
    }
  }
  if (status != 200) return std::unexpected(error_of(status, failure));
  return {};
}

Result<std::shared_ptr<asio::ssl::context>> tls_context(const RemoteAccess& access) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  context->set_verify_mode(asio::ssl::verify_peer);
  error_code error;
  if (access.authority.empty()) {
    context->set_default_verify_paths(error);
  } else {
    context->load_verify_file(access.authority.string(), error);
  }
  if (error)
    return fail(ErrorCode::kBadInput,
                fmt::format("{} holds no certificate to believe: {}", access.authority.string(), error.message()));
  return context;
}

}  // namespace

struct Client::Place {
  std::filesystem::path socket;  // empty: tcp
  std::string host;
  std::string port;
  std::string token;
  std::shared_ptr<asio::ssl::context> tls;  // none: plain; shared: by the interface of streams that use it

  [[nodiscard]] std::string authority() const {
    return host.contains(':') ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
  }

  [[nodiscard]] Status ask_tcp(http::verb verb, const std::string& target,
                               const std::function<bool(std::string_view)>& take) const {
    asio::io_context io;
    error_code error;
    tcp::resolver resolver(io);
    const auto found = resolver.resolve(host, port, error);
    tcp::socket connection(io);
    if (!error) asio::connect(connection, found, error);
    if (error) return fail(ErrorCode::kUnavailable, fmt::format("no book answers at {} port {}: {}", host, port, error.message()));
    if (tls == nullptr) return exchange(connection, verb, authority(), token, target, take);
    beast::ssl_stream<tcp::socket> stream(std::move(connection), *tls);
    stream.set_verify_callback(asio::ssl::host_name_verification(host));
    if (!parse_ip(host)) SSL_set_tlsext_host_name(stream.native_handle(), host.c_str());
    stream.handshake(asio::ssl::stream_base::client, error);
    if (error) return handshake_error(stream.native_handle(), error);
    return exchange(stream, verb, authority(), token, target, take);
  }

  [[nodiscard]] Status handshake_error(SSL* ssl, const error_code& error) const {
    const long verdict = SSL_get_verify_result(ssl);
    if (verdict == X509_V_OK) {
      return fail(ErrorCode::kUnavailable, fmt::format("no book speaks TLS at {}: {}", authority(), error.message()));
    }
    return fail(ErrorCode::kDenied,
                fmt::format("the certificate at {} is not one to believe: {}. Who keeps the book has the file for --ca",
                            authority(), X509_verify_cert_error_string(verdict)));
  }

  [[nodiscard]] Status ask_unix(http::verb verb, const std::string& target,
                                const std::function<bool(std::string_view)>& take) const {
    asio::io_context io;
    error_code error;
    Local::socket connection(io);
    connection.connect(Local::endpoint(socket.string()), error);
    const std::string folder = socket.parent_path().string();
    if (error == asio::error::access_denied)
      return fail(ErrorCode::kDenied, fmt::format("this user may not read the book in {}", folder));
    if (error) {
      return fail(ErrorCode::kUnavailable, fmt::format("no book is running in {0}; start it with: portbook up --data {0}", folder));
    }
    return exchange(connection, verb, "localhost", token, target, take);
  }

  [[nodiscard]] Status ask(http::verb verb, const std::string& target, const std::function<bool(std::string_view)>& take) const {
    return socket.empty() ? ask_tcp(verb, target, take) : ask_unix(verb, target, take);
  }
};

Client::Client(std::unique_ptr<Place> place) : place_(std::move(place)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::over_unix_socket(const std::filesystem::path& socket) {
  if (socket.string().size() >= sizeof(sockaddr_un::sun_path)) {
    return fail(ErrorCode::kBadInput, fmt::format("the path {} is too long for a unix socket; use --server URL", socket.string()));
  }
  auto place = std::make_unique<Place>();
  place->socket = socket;
  return Client(std::move(place));
}

Result<Client> Client::over_url(std::string_view url, const RemoteAccess& access) {
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  const auto bad = [&] {
    return fail(
        ErrorCode::kBadInput,
        fmt::format("\"{}\" is not the URL of a book, such as http://127.0.0.1:7171 or https://book.example.org:7171", url));
  };
  const bool with_tls = url.starts_with(kTls);
  if (!with_tls && !url.starts_with(kPlain)) return bad();
  std::string_view authority = url.substr(with_tls ? kTls.size() : kPlain.size());
  if (authority.ends_with('/')) authority.remove_suffix(1);
  const size_t colon = authority.rfind(':');
  const size_t bracket = authority.rfind(']');
  const bool has_port = colon != std::string_view::npos && (bracket == std::string_view::npos || bracket < colon);
  std::string_view host = has_port ? authority.substr(0, colon) : authority;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.contains('/')) return bad();
  auto place = std::make_unique<Place>();
  place->host = host;
  place->port = has_port ? std::string(authority.substr(colon + 1)) : "7171";
  place->token = access.token;
  const auto ip = parse_ip(host);
  if (!with_tls && !access.token.empty() && host != "localhost" && !(ip && ip->is_loopback()))
    return fail(ErrorCode::kBadInput, fmt::format("a token is not sent over plain HTTP: use https://{}", authority));
  if (with_tls) {
    auto context = tls_context(access);
    if (!context) return std::unexpected(context.error());
    place->tls = std::move(*context);
  }
  return Client(std::move(place));
}

Result<std::string> Client::get(std::string_view path, const Params& params) {
  return send("GET", path, params);
}

Result<std::string> Client::get(std::string_view path, const Params& params, size_t bytes_max,
                                const std::function<void(size_t bytes)>& progress) {
  std::string body;
  const auto status = place_->ask(http::verb::get, target_of(path, params), [&](std::string_view piece) {
    body += piece;
    progress(body.size());
    return body.size() <= bytes_max;
  });
  if (!status) return std::unexpected(status.error());
  if (body.size() > bytes_max) return fail(ErrorCode::kLimit, fmt::format("the answer is longer than {} bytes", bytes_max));
  return body;
}

Result<std::string> Client::send(std::string_view method, std::string_view path, const Params& params) {
  const http::verb verb = http::string_to_verb({method.data(), method.size()});
  std::string body;
  const auto status = place_->ask(verb, target_of(path, params), [&](std::string_view piece) {
    body += piece;
    return true;
  });
  if (!status) return std::unexpected(status.error());
  return body;
}

Status Client::lines(std::string_view path, const Params& params, const std::function<bool(std::string_view line)>& line) {
  std::string pending;
  bool too_long = false;
  const auto status = place_->ask(http::verb::get, target_of(path, params), [&](std::string_view piece) {
    pending += piece;
    size_t start = 0;
    for (size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n', start)) {
      if (!line(std::string_view(pending).substr(start, end - start))) return false;
      start = end + 1;
    }
    pending.erase(0, start);
    too_long = pending.size() > kLineBytesMax;
    return !too_long;
  });
  if (too_long) return fail(ErrorCode::kLimit, fmt::format("a line of the answer is longer than {} bytes", kLineBytesMax));
  return status;
}

}  // namespace portbook
