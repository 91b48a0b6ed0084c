#include "cli/client.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "record/endpoint.h"

namespace portbook {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Local = asio::local::stream_protocol;
using asio::ip::tcp;

constexpr size_t kLineBytesMax = 64 * 1024 * 1024;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::string_view("-_.~").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string target_of(std::string_view path, const Params& params) {
  std::string target(path);
  char separator = '?';
  for (const auto& [name, value] : params) {
    target += separator + name + "=" + escaped(value);
    separator = '&';
  }
  return target;
}

ErrorCode code_named(std::string_view name) {
  constexpr std::string_view kNames[] = {"bad_input", "not_found", "denied", "io", "corrupt", "limit", "unavailable", "newer"};
  const auto* found = std::ranges::find(kNames, name);
  return found == std::end(kNames) ? ErrorCode::kIo : static_cast<ErrorCode>(found - std::begin(kNames));
}

// The error that the book answered, with the wrong place of `query` underlined when it names one.
std::unexpected<Error> answered_error(std::string_view body, unsigned status, std::string_view query) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view code;
  std::string_view message;
  if (parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS ||
      root["error"]["message"].get(message) != simdjson::SUCCESS) {
    return fail(ErrorCode::kUnavailable, fmt::format("the book answered with HTTP status {}", status));
  }
  if (root["error"]["code"].get(code) != simdjson::SUCCESS) code = "io";
  std::string text(message);
  uint64_t position = 0;
  if (root["error"]["position"].get(position) == simdjson::SUCCESS && position <= query.size() && query.size() < 200) {
    uint64_t length = 0;
    if (root["error"]["length"].get(length) != simdjson::SUCCESS) length = 1;
    length = std::clamp<uint64_t>(length, 1, std::max<uint64_t>(1, query.size() - position));
    text += fmt::format("\n  {}\n  {}{}", query, std::string(position, ' '), std::string(length, '^'));
  }
  return fail(code_named(code), std::move(text));
}

template <typename Stream>
class SocketClient final : public Client {
 public:
  SocketClient(std::unique_ptr<asio::io_context> io, Stream stream, std::string host)
      : io_(std::move(io)), stream_(std::move(stream)), host_(std::move(host)) {}

  Status get_lines(std::string_view path, const Params& params, const std::function<bool(std::string_view)>& line) override {
    http::request<http::empty_body> request(http::verb::get, target_of(path, params), 11);
    request.set(http::field::host, host_);
    request.set(http::field::user_agent, "portbook");
    beast::error_code error;
    http::write(stream_, request, error);
    if (error) return broke(error);
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    http::read_header(stream_, buffer_, parser, error);
    if (error) return broke(error);
    const unsigned status = parser.get().result_int();
    std::string rest;
    char part[65536];
    while (!parser.is_done()) {
      parser.get().body().data = part;
      parser.get().body().size = sizeof part;
      http::read_some(stream_, buffer_, parser, error);
      if (error == http::error::need_buffer) error = {};
      if (error) return broke(error);
      rest.append(part, sizeof part - parser.get().body().size);
      if (rest.size() > kLineBytesMax)
        return fail(ErrorCode::kLimit, fmt::format("the answer has a line of more than {} bytes", kLineBytesMax));
      if (status < 400 && !take_lines(rest, line)) return {};
    }
    if (status >= 400) {
      const auto query = std::ranges::find(params, "q", [](const auto& param) { return std::string_view(param.first); });
      return answered_error(rest, status, query == params.end() ? std::string_view{} : std::string_view(query->second));
    }
    if (!rest.empty()) line(rest);
    return {};
  }

 private:
  static std::unexpected<Error> broke(const beast::error_code& error) {
    return fail(ErrorCode::kUnavailable, fmt::format("the book broke the connection off: {}", error.message()));
  }
  // Hands the whole lines of `text` over and leaves the rest; false when `line` has had enough.
  static bool take_lines(std::string& text, const std::function<bool(std::string_view)>& line) {
    size_t from = 0;
    for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', from)) {
      if (!line(std::string_view(text).substr(from, end - from))) return false;
      from = end + 1;
    }
    text.erase(0, from);
    return true;
  }

  std::unique_ptr<asio::io_context> io_;
  Stream stream_;
  std::string host_;
  beast::flat_buffer buffer_;
};

Result<std::unique_ptr<Client>> connect_url(const std::string& url) {
  const auto bad = [&] {
    return fail(ErrorCode::kBadInput, fmt::format("--server: \"{}\" is not such as http://127.0.0.1:7171", url));
  };
  std::string_view rest = url;
  if (!rest.starts_with("http://")) return bad();
  rest.remove_prefix(7);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const std::string host(rest);
  const std::string literal = rest.starts_with("localhost") ? "127.0.0.1" + std::string(rest.substr(9)) : host;
  const auto endpoint = parse_endpoint_pattern(literal);
  if (!endpoint || !endpoint->port || !endpoint->is_address()) return bad();
  auto io = std::make_unique<asio::io_context>();
  tcp::socket socket(*io);
  beast::error_code error;
  socket.connect(tcp::endpoint(asio::ip::make_address(to_text(endpoint->network.base)), *endpoint->port), error);
  if (error) return fail(ErrorCode::kUnavailable, fmt::format("no book answers at {}: {}", url, error.message()));
  return std::make_unique<SocketClient<tcp::socket>>(std::move(io), std::move(socket), host);
}

}  // namespace

Result<std::unique_ptr<Client>> Client::connect(const BookChoice& choice) {
  if (!choice.server.empty()) return connect_url(choice.server);
  const std::string path = (choice.data / "portbook.sock").native();
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return fail(ErrorCode::kBadInput, fmt::format("{}: the path is too long for a unix socket", path));
  auto io = std::make_unique<asio::io_context>();
  Local::socket socket(*io);
  beast::error_code error;
  socket.connect(Local::endpoint(path), error);
  if (error == boost::system::errc::permission_denied) {
    return fail(ErrorCode::kDenied,
                fmt::format("the book in {} may only be read by its owner: ask as that user or as root", choice.data.native()));
  }
  if (error) {
    return fail(
        ErrorCode::kUnavailable,
        fmt::format("no book is running in {0}; start one with `portbook up --data {0}`, or name another with --data or --server",
                    choice.data.native()));
  }
  return std::make_unique<SocketClient<Local::socket>>(std::move(io), std::move(socket), "localhost");
}

Result<std::string> Client::get(std::string_view path, const Params& params) {
  std::string body;
  const auto status = get_lines(path, params, [&](std::string_view line) {
    body += line;
    body += '\n';
    return true;
  });
  if (!status) return std::unexpected(status.error());
  return body;
}

}  // namespace portbook
