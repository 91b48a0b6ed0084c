#include "server/http_message.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace portbook {
namespace {

using testing::HasSubstr;

constexpr std::string_view kTwo =
    "GET /api/v1/search?q=dst.port%3A443+user%3Aa&limit=3 HTTP/1.1\r\nHost: localhost:1\r\nCookie: a=b\r\n\r\n"
    "POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\ntoken";

// What is read when `bytes` come in pieces of so many; the status of a refusal ends it.
struct Heard {
  std::vector<ReadRequest> requests;
  int refused = 0;
  std::string sentence;
};

Heard heard(std::string_view bytes, size_t piece) {
  Heard heard;
  RequestReader reader;
  while (true) {
    auto step = reader.next();
    if (auto* refusal = std::get_if<HttpResponse>(&step)) {
      heard.refused = refusal->status;
      heard.sentence = refusal->body;
      return heard;
    }
    if (auto* request = std::get_if<ReadRequest>(&step)) {
      heard.requests.push_back(std::move(*request));
      continue;
    }
    if (bytes.empty()) return heard;
    const auto space = reader.space();
    const size_t count = std::min({piece, space.size(), bytes.size()});
    std::ranges::copy(bytes.substr(0, count), space.begin());
    bytes.remove_prefix(count);
    reader.took(count);
  }
}

TEST(HttpMessage, ABodyComesOnceItIsAdmittedAndTheClientIsToldSo) {
  std::vector<std::optional<uint64_t>> asked;
  RequestReader reader([&](const HttpRequest& head, std::optional<uint64_t> bytes) {
    asked.push_back(bytes);
    EXPECT_EQ(head.path, "/a");
    EXPECT_EQ(head.authorization, "Bearer t");
    EXPECT_TRUE(head.body.empty());
    return BodyPass{.bytes_max = 100'000, .held = std::make_shared<int>(7)};
  });
  const auto hear = [&](std::string_view bytes) {
    while (!bytes.empty()) {
      const auto space = reader.space();
      const size_t count = std::min(space.size(), bytes.size());
      std::ranges::copy(bytes.substr(0, count), space.begin());
      bytes.remove_prefix(count);
      reader.took(count);
      auto step = reader.next();
      if (!std::holds_alternative<RequestReader::NeedMore>(step)) return step;
    }
    return RequestReader::Step(RequestReader::NeedMore{});
  };
  constexpr std::string_view kHead = "POST /a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n";
  EXPECT_TRUE(std::holds_alternative<RequestReader::NeedMore>(
      hear(std::string(kHead) + "Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")));
  EXPECT_TRUE(reader.take_wants_continue());
  EXPECT_FALSE(reader.take_wants_continue());
  auto step = hear(std::string(100'000, 'x'));
  ASSERT_TRUE(std::holds_alternative<ReadRequest>(step));
  EXPECT_EQ(std::get<ReadRequest>(step).request.body.size(), 100'000U);
  EXPECT_NE(std::get<ReadRequest>(step).request.held, nullptr);
  step = hear(std::string(kHead) + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  ASSERT_TRUE(std::holds_alternative<ReadRequest>(step));
  EXPECT_EQ(std::get<ReadRequest>(step).request.body, "abc");
  step = hear(std::string(kHead) + "Content-Length: 100001\r\n\r\n");
  ASSERT_TRUE(std::holds_alternative<HttpResponse>(step));
  EXPECT_EQ(std::get<HttpResponse>(step).status, 413);
  EXPECT_EQ(asked, (std::vector<std::optional<uint64_t>>{100'000, std::nullopt, 100'001}));
}

TEST(HttpMessage, TwoRequestsInOneBufferAndInEveryPiece) {
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{64}, kTwo.size()}) {
    const Heard both = heard(kTwo, piece);
    ASSERT_EQ(both.requests.size(), 2U) << piece << both.sentence;
    const HttpRequest& first = both.requests[0].request;
    EXPECT_EQ(first.path, "/api/v1/search");
    EXPECT_EQ(first.param("q"), "dst.port:443 user:a");
    EXPECT_EQ(first.param("limit"), "3");
    EXPECT_EQ(first.cookie, "a=b");
    EXPECT_TRUE(both.requests[0].keep_alive);
    EXPECT_EQ(both.requests[1].request.body, "token");
    EXPECT_EQ(both.requests[1].origin, "http://localhost");
    EXPECT_FALSE(both.requests[1].keep_alive);
  }
}

TEST(HttpMessage, EveryPrefixIsARequestLessOrWaits) {
  const size_t first = kTwo.find("POST");
  for (size_t bytes = 0; bytes < kTwo.size(); ++bytes) {
    const Heard some = heard(kTwo.substr(0, bytes), 16);
    EXPECT_EQ(some.requests.size(), bytes >= first ? 1U : 0U) << bytes;
    EXPECT_EQ(some.refused, 0) << bytes << some.sentence;
  }
}

TEST(HttpMessage, LimitsAreRefusedWithOneSentence) {
  const std::string long_header = "GET / HTTP/1.1\r\nX: " + std::string(kRequestHeaderBytesMax, 'x') + "\r\n\r\n";
  const std::string long_body =
      fmt::format("POST /login HTTP/1.1\r\nContent-Length: {}\r\n\r\n", kRequestBodyBytesMax + 1) + std::string(100, 'x');
  for (const size_t piece : {size_t{100}, size_t{100'000}}) {
    EXPECT_EQ(heard(long_header, piece).refused, 431);
    EXPECT_EQ(heard(long_body, piece).refused, 413);
    EXPECT_EQ(heard("\x01 nonsense\r\n\r\n", piece).refused, 400);
  }
  EXPECT_THAT(heard("nonsense\r\n\r\n", 5).sentence, HasSubstr("this is not an HTTP request"));
}

TEST(HttpMessage, HeadOfAnAnswer) {
  HttpResponse response;
  response.headers.emplace_back("Cache-Control", "no-cache");
  EXPECT_EQ(response_head(response, 11, true, BodyIs::kWhole, 12),
            "HTTP/1.1 200 OK\r\nServer: portbook\r\nContent-Type: application/json; charset=utf-8\r\nX-Content-Type-Options: "
            "nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-cache\r\nContent-Length: 12\r\n\r\n");
  EXPECT_THAT(response_head({}, 11, false, BodyIs::kWhole, 0), HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(response_head({}, 10, true, BodyIs::kWhole, 0), HasSubstr("HTTP/1.0 200 OK\r\n"));
  EXPECT_THAT(response_head({}, 11, true, BodyIs::kChunked, 0), HasSubstr("\r\nTransfer-Encoding: chunked\r\n"));
  EXPECT_EQ(chunk_head(65'536), "10000\r\n");
  response.headers.emplace_back("Location", "/a\r\nSet-Cookie: b");
  EXPECT_DEATH(response_head(response, 11, true, BodyIs::kWhole, 0), "");
}

int status_of(const Caller& caller, const std::function<void(ReadRequest&)>& change) {
  ReadRequest read;
  read.request.method = "GET";
  read.host = caller.remote ? "book.example.org" : "127.0.0.1:7171";
  change(read);
  const auto refused = refused_unseen(read, caller);
  return refused ? refused->status : 0;
}

TEST(HttpMessage, OtherSitesAndNamesAreRefused) {
  const Caller here{};
  Caller elsewhere{};
  elsewhere.remote = true;
  const auto host = [](std::string name) { return [name](ReadRequest& read) { read.host = name; }; };
  for (const char* name : {"localhost", "localhost:1", "[::1]:7171", "127.8.8.8"})
    EXPECT_EQ(status_of(here, host(name)), 0) << name;
  for (const char* name : {"", "example.org", "localhost.example.org", "[::1", "10.0.0.1"})
    EXPECT_EQ(status_of(here, host(name)), 403) << name;
  const auto origin = [](std::string from) { return [from](ReadRequest& read) { read.origin = from; }; };
  EXPECT_EQ(status_of(here, origin("http://localhost:7171")), 0);
  EXPECT_EQ(status_of(here, origin("https://example.org")), 403);
  EXPECT_EQ(status_of(here, origin("null")), 403);
  EXPECT_EQ(status_of(elsewhere, origin("https://book.example.org")), 0);
  EXPECT_EQ(status_of(elsewhere, origin("https://example.org")), 403);
  const auto site = [](std::string from, std::string mode) {
    return [=](ReadRequest& read) {
      read.fetch_site = from;
      read.fetch_mode = mode;
    };
  };
  EXPECT_EQ(status_of(here, site("cross-site", "cors")), 403);
  EXPECT_EQ(status_of(here, site("cross-site", "navigate")), 0);
  EXPECT_EQ(status_of(elsewhere, site("same-site", "cors")), 403);
  EXPECT_EQ(status_of(here, [](ReadRequest& read) { read.target_bytes = kRequestTargetBytesMax + 1; }), 414);
  EXPECT_EQ(status_of(here, [](ReadRequest& read) { read.readable = false; }), 400);
}

}  // namespace
}  // namespace portbook
