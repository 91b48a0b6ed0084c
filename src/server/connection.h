// One client's connection, whatever carries it: a TCP or unix socket, TLS. What Asio and Beast generate for each kind of stream
// stays in connection.cc and connection_tls.cc.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string_view>

namespace portbook {

// One coroutine at a time, on the thread of the socket's io_context.
class Connection {
 public:
  virtual ~Connection() = default;
  // How many bytes were read into `into`; 0: the client has ended or gone, or sent nothing for so long.
  virtual boost::asio::awaitable<size_t> read(std::span<char> into, std::chrono::milliseconds patience) = 0;
  // Writes both, whole. False: the client has gone, or took less than kWritePieceBytes in so long. The bytes must stay until then.
  virtual boost::asio::awaitable<bool> write(std::string_view head, std::string_view body, std::chrono::milliseconds patience) = 0;
  // Says good-bye, at most for so long; nothing may be written afterwards.
  virtual boost::asio::awaitable<void> close(std::chrono::milliseconds patience) = 0;
  // True once the client has closed its end, whatever it sent before.
  virtual bool has_gone() = 0;

  static constexpr size_t kWritePieceBytes = 64 * 1024;
};

std::unique_ptr<Connection> plain_connection(boost::asio::ip::tcp::socket socket);
std::unique_ptr<Connection> plain_connection(boost::asio::local::stream_protocol::socket socket);

struct Greeted {
  std::unique_ptr<Connection> connection;  // none: the client has gone, was too slow, or no handshake came about
  bool tls = false;                        // else it spoke something else, and can be told so in the clear
};
// Waits for the client's handshake, at most for so long.
boost::asio::awaitable<Greeted> greet_tls(boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> context,
                                          std::chrono::milliseconds patience);

}  // namespace portbook
