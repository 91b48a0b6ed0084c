#include "server/connection.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>

namespace portbook {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::awaitable;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

template <typename Protocol>
class Plain final : public Connection {
 public:
  explicit Plain(typename Protocol::socket socket) : stream_(std::move(socket)) {}

  awaitable<size_t> read(std::span<char> into, std::chrono::milliseconds patience) override {
    stream_.expires_after(patience);
    const auto [error, bytes] = co_await stream_.async_read_some(asio::mutable_buffer(into.data(), into.size()), kAwait);
    co_return error ? 0 : bytes;
  }

  awaitable<bool> write(std::string_view head, std::string_view body, std::chrono::milliseconds patience) override {
    size_t left_of_piece = 0;
    while (!head.empty() || !body.empty()) {
      if (left_of_piece == 0) {
        left_of_piece = kWritePieceBytes;
        stream_.expires_after(patience);
      }
      const std::string_view first = head.substr(0, left_of_piece);
      const std::string_view second = body.substr(0, left_of_piece - first.size());
      const std::array buffers = {asio::const_buffer(first.data(), first.size()), asio::const_buffer(second.data(), second.size())};
      const auto [error, bytes] = co_await stream_.async_write_some(buffers, kAwait);
      if (error) co_return false;
      left_of_piece -= bytes;
      const size_t of_head = std::min(bytes, head.size());
      head.remove_prefix(of_head);
      body.remove_prefix(bytes - of_head);
    }
    co_return true;
  }

  awaitable<void> close(std::chrono::milliseconds) override {
    boost::system::error_code ignored;
    stream_.socket().shutdown(asio::socket_base::shutdown_send, ignored);
    co_return;
  }

  bool has_gone() override {
    pollfd end{stream_.socket().native_handle(), POLLRDHUP, 0};
    return poll(&end, 1, 0) > 0;
  }

 private:
  beast::basic_stream<Protocol> stream_;
};

}  // namespace

std::unique_ptr<Connection> plain_connection(asio::ip::tcp::socket socket) {
  return std::make_unique<Plain<asio::ip::tcp>>(std::move(socket));
}

std::unique_ptr<Connection> plain_connection(asio::local::stream_protocol::socket socket) {
  return std::make_unique<Plain<asio::local::stream_protocol>>(std::move(socket));
}

}  // namespace portbook
