#include "server/http.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <future>

#include "server/caller.h"

namespace portbook {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A client that says exactly what a test wants said.
class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  explicit Client(const std::filesystem::path& path) : socket_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.native().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Client() { close(socket_); }
  void say(std::string_view text) {
    EXPECT_EQ(send(socket_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  void end() { shutdown(socket_, SHUT_WR); }
  // Everything until the server closes, or until `until` has come.
  std::string hear(std::string_view until = "\x01") {
    std::string all;
    char buffer[4096];
    while (all.find(until) == std::string::npos) {
      const ssize_t length = recv(socket_, buffer, sizeof buffer, 0);
      if (length <= 0) break;
      all.append(buffer, static_cast<size_t>(length));
    }
    return all;
  }

 private:
  int socket_;
};

std::unique_ptr<HttpServer> serve(HttpHandler handler, const HttpOptions& options = {}) {
  auto server = HttpServer::start(options, std::move(handler));
  EXPECT_TRUE(server.has_value()) << server.error().message;
  return std::move(*server);
}

std::string get(uint16_t port, std::string_view target, std::string_view headers = "Host: localhost\r\n") {
  Client client(port);
  client.say("GET " + std::string(target) + " HTTP/1.1\r\nConnection: close\r\n" + std::string(headers) + "\r\n");
  return client.hear();
}

TEST(Http, AnswersWhole) {
  const auto server = serve([](const HttpRequest& request, HttpResponse& response) {
    EXPECT_EQ(request.caller_uid, geteuid());
    response.whole(200, "text/plain", request.method + " " + request.path + " " + std::string(request.param("q").value_or("none")));
  });
  EXPECT_THAT(get(server->port(), "/a%20b?x=1&q=dst.port%3A1+y"), HasSubstr("\r\n\r\nGET /a b dst.port:1 y"));
  EXPECT_THAT(get(server->port(), "/?x"), HasSubstr("GET / none"));
}

TEST(Http, KeepsTheConnection) {
  const auto server = serve(
      [](const HttpRequest& request, HttpResponse& response) { response.whole(200, "text/plain", "<" + request.path + ">"); });
  Client client(server->port());
  client.say("GET /one HTTP/1.1\r\nHost: localhost\r\n\r\nGET /two HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string both = client.hear("</two>");
  EXPECT_THAT(both, HasSubstr("</one>"));
}

TEST(Http, StreamsUntilTheClientGoes) {
  std::promise<void> ended;
  const auto server = serve([&](const HttpRequest&, HttpResponse& response) {
    response.begin(200, "text/plain");
    while (response.write("tick\n")) {
    }
    EXPECT_TRUE(response.gone());
    ended.set_value();
  });
  {
    Client client(server->port());
    client.say("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_THAT(client.hear("tick"), HasSubstr("Transfer-Encoding: chunked"));
  }
  EXPECT_EQ(ended.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST(Http, TellsAQuietHandlerThatTheClientHasGone) {
  std::promise<void> ended;
  const auto server = serve([&](const HttpRequest&, HttpResponse& response) {
    response.begin(200, "text/plain");
    response.write("first\n");
    while (!response.gone()) std::this_thread::yield();
    ended.set_value();
  });
  {
    Client client(server->port());
    client.say("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.hear("first");
  }
  EXPECT_EQ(ended.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST(Http, StopsWhileAnswersAreUnderWay) {
  std::atomic<int> running = 0;
  auto server = serve([&](const HttpRequest&, HttpResponse& response) {
    ++running;
    response.begin(200, "text/plain");
    while (response.write("tick\n")) {
    }
    --running;
  });
  Client client(server->port());
  client.say("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.hear("tick");
  server.reset();
  EXPECT_EQ(running, 0);
}

TEST(Http, HeadHasNoBody) {
  const auto server = serve([](const HttpRequest&, HttpResponse& response) { response.whole(200, "text/plain", "a body"); });
  Client client(server->port());
  client.say("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string answer = client.hear();
  EXPECT_THAT(answer, HasSubstr("Content-Length: 6"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n"));
}

TEST(Http, ForeignHostsAndOriginsAreRefused) {
  const auto server = serve([](const HttpRequest&, HttpResponse& response) { response.whole(200, "text/plain", "secret"); });
  const std::string port = std::to_string(server->port());
  for (const std::string& good : {"Host: localhost\r\n" + std::string{}, "Host: 127.0.0.1:" + port + "\r\n",
                                  "Host: [::1]:" + port + "\r\nOrigin: http://localhost:" + port + "\r\n"}) {
    EXPECT_THAT(get(server->port(), "/", good), StartsWith("HTTP/1.1 200")) << good;
  }
  for (const std::string& bad :
       {std::string("Host: evil.example\r\n"), std::string("Host: localhost.evil.example\r\n"), std::string(""),
        std::string("Host: localhost:1\r\n"), std::string("Host: localhost\r\nOrigin: https://evil.example\r\n"),
        std::string("Host: localhost\r\nOrigin: null\r\n")}) {
    const std::string answer = get(server->port(), "/", bad);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 403")) << bad;
    EXPECT_THAT(answer, testing::Not(HasSubstr("secret")));
  }
}

TEST(Http, LimitsAndGarbage) {
  const auto server = serve([](const HttpRequest&, HttpResponse& response) { response.whole(200, "text/plain", "ok"); });
  EXPECT_THAT(get(server->port(), "/%zz"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(get(server->port(), "/%00"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(get(server->port(), "/", "Host: localhost\r\nX: " + std::string(kHttpHeaderBytesMax, 'x') + "\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(get(server->port(), "/", "Host: localhost\r\nContent-Length: 99999999999\r\n"), StartsWith("HTTP/1.1 413"));
  Client client(server->port());
  client.say("\xff\xfe not http\r\n\r\n");
  EXPECT_THAT(client.hear(), StartsWith("HTTP/1.1 400"));
}

TEST(Http, UnixSocketIsOnlyForItsOwner) {
  const auto path = std::filesystem::temp_directory_path() / ("portbook-http-test-" + std::to_string(getpid()));
  HttpOptions options;
  options.unix_socket = path;
  auto server = serve([](const HttpRequest& request,
                         HttpResponse& response) { response.whole(200, "text/plain", std::to_string(request.caller_uid)); },
                      options);
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  Client client(path);
  client.say("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.hear(), testing::EndsWith(std::to_string(geteuid())));
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Http, SaysWhyItCannotListen) {
  const auto server = serve([](const HttpRequest&, HttpResponse&) {});
  HttpOptions options;
  options.port = server->port();
  auto second = HttpServer::start(options, {});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string(server->port())));
  options.address = "0.0.0.0";
  second = HttpServer::start(options, {});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kDenied);
  options.address = "here";
  EXPECT_EQ(HttpServer::start(options, {}).error().code, ErrorCode::kBadInput);
}

TEST(Caller, IsTheOwnerOfTheSocket) {
  EXPECT_TRUE(may_ask(0));
  EXPECT_TRUE(may_ask(geteuid()));
  EXPECT_FALSE(may_ask(65534));
  const auto none = socket_owner({*parse_ip("127.0.0.1"), 1}, {*parse_ip("127.0.0.1"), 2});
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace portbook
