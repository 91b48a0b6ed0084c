#include <poll.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/detect_ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <string>

#include "server/connection.h"

namespace portbook {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::awaitable;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

class Tls final : public Connection {
 public:
  Tls(beast::tcp_stream plain, std::shared_ptr<asio::ssl::context> context)
      : context_(std::move(context)), stream_(std::move(plain), *context_) {}

  // `begun`: what was read of the handshake.
  awaitable<bool> greet(const beast::flat_buffer& begun, std::chrono::milliseconds patience) {
    stream_.next_layer().expires_after(patience);
    const auto [error, taken] = co_await stream_.async_handshake(asio::ssl::stream_base::server, begun.data(), kAwait);
    co_return !error;
  }

  awaitable<size_t> read(std::span<char> into, std::chrono::milliseconds patience) override {
    stream_.next_layer().expires_after(patience);
    const auto [error, bytes] = co_await stream_.async_read_some(asio::mutable_buffer(into.data(), into.size()), kAwait);
    co_return error ? 0 : bytes;
  }

  awaitable<bool> write(std::string_view head, std::string_view body, std::chrono::milliseconds patience) override {
    // One record of TLS for both where they fit: a short head by itself would be a packet by itself.
    std::string piece;
    while (!head.empty() || !body.empty()) {
      piece = head.substr(0, kWritePieceBytes);
      head.remove_prefix(piece.size());
      const std::string_view more = body.substr(0, kWritePieceBytes - piece.size());
      piece += more;
      body.remove_prefix(more.size());
      stream_.next_layer().expires_after(patience);
      for (std::string_view rest = piece; !rest.empty();) {
        const auto [error, bytes] = co_await stream_.async_write_some(asio::const_buffer(rest.data(), rest.size()), kAwait);
        if (error) co_return false;
        rest.remove_prefix(bytes);
      }
    }
    co_return true;
  }

  awaitable<void> close(std::chrono::milliseconds patience) override {
    stream_.next_layer().expires_after(patience);
    co_await stream_.async_shutdown(kAwait);
  }

  bool has_gone() override {
    pollfd end{stream_.next_layer().socket().native_handle(), POLLRDHUP, 0};
    return poll(&end, 1, 0) > 0;
  }

 private:
  std::shared_ptr<asio::ssl::context> context_;  // this one, though another may have taken its place for those that come later
  asio::ssl::stream<beast::tcp_stream> stream_;
};

}  // namespace

awaitable<Greeted> greet_tls(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> context,
                             std::chrono::milliseconds patience) {
  beast::tcp_stream plain(std::move(socket));
  beast::flat_buffer begun;
  plain.expires_after(patience);
  const auto [unreadable, is_tls] = co_await beast::async_detect_ssl(plain, begun, kAwait);
  if (unreadable) co_return Greeted{};
  if (!is_tls) co_return Greeted{plain_connection(plain.release_socket()), false};
  auto connection = std::make_unique<Tls>(std::move(plain), std::move(context));
  if (!co_await connection->greet(begun, patience)) co_return Greeted{};
  co_return Greeted{std::move(connection), true};
}

}  // namespace portbook
