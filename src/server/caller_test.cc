#include "server/caller.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace portbook {
namespace {

Endpoint own_end(int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  return {Ip::v4(ntohl(address.sin_addr.s_addr)), ntohs(address.sin_port)};
}

// A connection over loopback, both ends here.
struct Connection {
  Connection() {
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener, 1), 0);
    address.sin_port = htons(own_end(listener).port);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    server = accept(listener, nullptr, nullptr);
    EXPECT_GE(server, 0);
  }
  ~Connection() {
    for (const int fd : {listener, client, server}) {
      if (fd >= 0) close(fd);
    }
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int listener = -1;
  int client = -1;
  int server = -1;
};

TEST(Caller, IsWhoOwnsTheOtherEnd) {
  const Connection connection;
  const auto uid = owner_of_socket(own_end(connection.client), own_end(connection.server));
  ASSERT_TRUE(uid.has_value()) << uid.error().message;
  EXPECT_EQ(*uid, geteuid());
}

// The kernel gives uid 0 for a socket that no process has any more: that is nobody, not root.
TEST(Caller, WhoHasClosedItsEndIsNobody) {
  Connection connection;
  const Endpoint client = own_end(connection.client);
  close(std::exchange(connection.client, -1));
  EXPECT_FALSE(owner_of_socket(client, own_end(connection.server)).has_value());
}

// Without a connection the kernel's look-up falls back to a listener on the asked port.
TEST(Caller, AListenerIsNotACaller) {
  const Connection connection;
  const Endpoint elsewhere{own_end(connection.listener).ip, 1};
  EXPECT_FALSE(owner_of_socket(own_end(connection.listener), elsewhere).has_value());
}

}  // namespace
}  // namespace portbook
