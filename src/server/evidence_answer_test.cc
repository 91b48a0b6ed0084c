// /api/v1/evidence of a book on disk: its file holds, in whatever pieces it comes, and what it refuses.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "book/test_batches.h"
#include "query/evidence.h"
#include "server/api.h"

namespace portbook {
namespace {

using testing::HasSubstr;

constexpr size_t kAtOnceMax = 8;

class EvidenceAnswerTest : public testing::Test {
 protected:
  EvidenceAnswerTest() {
    auto book = Book::open({.folder = folder_.path(), .origin = "book.example.org/web-7", .host = "web-7"}, clock_);
    PB_CHECK(book.has_value());
    book_ = std::move(*book);
    TestSource source("web-7/socket");
    const auto receipt = book_->append(source.batch(400));
    PB_CHECK(receipt.has_value());
    ApiOptions options;
    options.host = "web-7";
    api_ = std::make_unique<Api>(*book_, clock_, std::move(options));
  }

  HttpResponse ask(std::vector<std::pair<std::string, std::string>> params) {
    HttpRequest request;
    request.method = "GET";
    request.path = "/api/v1/evidence";
    request.params = std::move(params);
    request.received = clock_.now();
    return api_->answer(request);
  }
  static std::string whole(HttpResponse response) {
    EXPECT_EQ(response.status, 200) << response.body;
    std::string out;
    if (!response.stream) return out;
    for (auto next = BodyStream::Next::kMore; next != BodyStream::Next::kEnd;) {
      const size_t before = out.size();
      next = response.stream->next(out);
      EXPECT_LE(out.size() - before, kChunkBytes);
    }
    return out;
  }

  ForwardClock clock_;
  TemporaryFolder folder_;
  std::unique_ptr<Book> book_;
  std::unique_ptr<Api> api_;
};

TEST_F(EvidenceAnswerTest, ItsFileHoldsAndSaysHowItWasAsked) {
  const auto check = check_evidence(whole(ask({{"of", "search"}, {"q", "records:all source:web-7/socket"}})), book_->vkey());
  ASSERT_TRUE(check.has_value()) << check.error().message;
  EXPECT_EQ(check->records, 400u);
  EXPECT_EQ(check->cut, "");
  EXPECT_THAT(check->asked, HasSubstr(R"("command":"search","q":"records:all source:web-7/socket","limit":"1000")"));
}

TEST_F(EvidenceAnswerTest, ALimitCutsAndTheFileSaysSo) {
  const auto check = check_evidence(whole(ask({{"of", "search"}, {"q", "records:all"}, {"limit", "7"}})), book_->vkey());
  ASSERT_TRUE(check.has_value()) << check.error().message;
  EXPECT_EQ(check->records, 7u);
  EXPECT_THAT(check->cut, HasSubstr("ends after 7 rows"));
  EXPECT_THAT(check->report, HasSubstr("ends after 7 rows"));
}

TEST_F(EvidenceAnswerTest, NothingToProveIsTheLastLineOfAStream) {
  const std::string file = whole(ask({{"of", "search"}, {"q", "pid:4000000000"}}));
  EXPECT_THAT(file, testing::StartsWith(R"({"error":{"code":"not_found")"));
  EXPECT_EQ(ask({{"of", "who"}, {"q", "192.0.2.99:9"}}).status, 404);
}

TEST_F(EvidenceAnswerTest, CountsAndForeignParametersAreRefused) {
  for (const std::string of : {"stats", "map", "coverage"}) {
    const HttpResponse refused = ask({{"of", of}, {"q", "since:1h"}});
    EXPECT_EQ(refused.status, 400);
    EXPECT_THAT(refused.body, HasSubstr("its counts rest on every record")) << of;
  }
  EXPECT_EQ(ask({{"q", "192.0.2.99:9"}}).status, 400);
  EXPECT_EQ(ask({{"of", "search"}, {"peer", "192.0.2.99:9"}}).status, 400);
  EXPECT_EQ(ask({{"of", "who"}, {"q", "192.0.2.99:9"}, {"limit", "5"}}).status, 400);
  EXPECT_EQ(ask({{"of", "search"}, {"limit", "10001"}}).status, 400);
  EXPECT_EQ(ask({{"of", "search"}, {"q", "dts.port:1"}}).status, 400);
}

TEST_F(EvidenceAnswerTest, SoManyAreMadeAtOnceAndNoMore) {
  std::vector<HttpResponse> under_way;
  for (size_t i = 0; i < kAtOnceMax; ++i) {
    under_way.push_back(ask({{"of", "search"}}));
    ASSERT_EQ(under_way.back().status, 200);
  }
  EXPECT_EQ(ask({{"of", "search"}}).status, 503);
  EXPECT_EQ(ask({{"of", "search"}, {"q", "dts.port:1"}}).status, 503);
  under_way.pop_back();
  EXPECT_EQ(ask({{"of", "search"}, {"q", "dts.port:1"}}).status, 400) << "a refused question must give its turn back";
  EXPECT_EQ(ask({{"of", "search"}}).status, 200);
}

}  // namespace
}  // namespace portbook
