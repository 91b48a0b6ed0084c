#include "server/records_intake.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "book/import.h"
#include "book/test_batches.h"
#include "record/cbor.h"

namespace portbook {
namespace {

using testing::HasSubstr;

class RecordsIntakeTest : public testing::Test {
 protected:
  RecordsIntakeTest() {
    auto book = Book::open({.folder = folder_.path(), .origin = "book.example.org/web-7", .host = "web-7"}, system_clock());
    PB_CHECK(book.has_value());
    book_ = std::move(*book);
    auto credentials = Credentials::load(folder_.path());
    PB_CHECK(credentials.has_value());
    credentials_ = std::move(*credentials);
    Credential credential;
    credential.host = "billing";
    credential.token_hash = token_hash(token_);
    credential.vantages = 1U << static_cast<unsigned>(Vantage::kNat);
    PB_CHECK(credentials_->enrol(credential).has_value());
    intake_ = std::make_unique<RecordsIntake>(*book_, *credentials_);
  }

  HttpRequest head() const {
    HttpRequest request;
    request.method = "POST";
    request.path = kRecordsPath;
    request.authorization = "Bearer " + token_;
    request.content_type = "application/x-ndjson; charset=utf-8";
    return request;
  }
  // As the server does it: asked again until it is an answer.
  HttpResponse post(HttpRequest request, std::string body) {
    BodyPass pass = intake_->admit(request, body.size());
    if (pass.refusal) return std::move(*pass.refusal);
    request.held = std::move(pass.held);
    request.body = std::move(body);
    while (true) {
      HttpResponse response = intake_->answer(request);
      if (response.ask_again.count() == 0) return response;
      std::this_thread::yield();
    }
  }
  static Bytes sequence(uint64_t count, Vantage vantage = Vantage::kApp) {
    Bytes bytes;
    for (uint64_t i = 1; i <= count; ++i) {
      Record record;
      record.set(Field::kKind, Kind::kNote);
      record.set(Field::kVantage, vantage);
      record.set(Field::kTime, 1'795'000'000'000'000'000 + i);
      encode(record, bytes);
    }
    return bytes;
  }

  TemporaryFolder folder_;
  const std::string token_ = make_token();
  std::unique_ptr<Book> book_;
  std::unique_ptr<Credentials> credentials_;
  std::unique_ptr<RecordsIntake> intake_;
};

TEST_F(RecordsIntakeTest, ASequenceOfCborIsTakenAndItsPartsAreNot) {
  HttpRequest request = head();
  request.content_type = "application/cbor-seq";
  const Bytes whole = sequence(3);
  const HttpResponse taken = post(request, std::string(as_text(whole)));
  EXPECT_EQ(taken.status, 200) << taken.body;
  EXPECT_EQ(taken.body, "{\"source\":\"billing/api/records\",\"first\":1,\"last\":3,\"taken\":3,\"already\":0}\n");
  const size_t one = whole.size() / 3;
  for (size_t length = 1; length < whole.size(); ++length) {
    if (length % one == 0) continue;
    EXPECT_EQ(post(request, std::string(as_text(whole).substr(0, length))).status, 400) << length;
  }
  EXPECT_EQ(book_->last_seq("billing/api/records"), 3U);
}

TEST_F(RecordsIntakeTest, OnlyVantagesOfTheCredentialAndThoseThatNobodyVouchesFor) {
  HttpRequest request = head();
  request.content_type = "application/cbor-seq";
  for (const Vantage allowed : {Vantage::kApp, Vantage::kProxy, Vantage::kGateway, Vantage::kNat})
    EXPECT_EQ(post(request, std::string(as_text(sequence(1, allowed)))).status, 200);
  for (const Vantage denied : {Vantage::kSocket, Vantage::kBook}) {
    const HttpResponse said = post(request, std::string(as_text(sequence(1, denied))));
    EXPECT_EQ(said.status, 403);
    EXPECT_THAT(said.body, HasSubstr("record 1: member \\\"vantage\\\""));
  }
}

TEST_F(RecordsIntakeTest, WhatIsSentAgainIsSkippedAndWhatIsMissingIsSaid) {
  const std::string two =
      "{\"kind\":\"note\",\"time\":1,\"vantage\":\"app\"}\n{\"kind\":\"note\",\"time\":2,\"vantage\":\"app\"}\n";
  HttpRequest request = head();
  request.params = {{"source", "orders"}, {"first", "1"}};
  EXPECT_EQ(post(request, two).status, 200);
  EXPECT_THAT(post(request, two).body, HasSubstr("\"taken\":0,\"already\":2"));
  request.params[1].second = "2";
  EXPECT_THAT(post(request, two).body, HasSubstr("\"first\":2,\"last\":3,\"taken\":1,\"already\":1"));
  request.params[1].second = "5";
  const HttpResponse missing = post(request, two);
  EXPECT_EQ(missing.status, 409);
  EXPECT_THAT(missing.body, HasSubstr("the next is number 4"));
  EXPECT_EQ(book_->last_seq("billing/api/orders"), 3U);
}

TEST_F(RecordsIntakeTest, WhatIsUnderWayIsBoundedBeforeItIsReadAndComesBack) {
  {
    std::vector<BodyPass> passes;
    for (size_t i = 0; i < kRecordsWaitingBytesMax / kRecordsBodyBytesMax; ++i) {
      passes.push_back(intake_->admit(head(), std::nullopt));
      EXPECT_FALSE(passes.back().refusal);
      EXPECT_EQ(passes.back().bytes_max, kRecordsBodyBytesMax);
    }
    const BodyPass more = intake_->admit(head(), 1);
    ASSERT_TRUE(more.refusal);
    EXPECT_EQ(more.refusal->status, 429);
    EXPECT_EQ(more.refusal->headers.front(), (std::pair<std::string, std::string>("Retry-After", "1")));
  }
  EXPECT_FALSE(intake_->admit(head(), 1).refusal);
  const BodyPass large = intake_->admit(head(), kRecordsBodyBytesMax + 1);
  ASSERT_TRUE(large.refusal);
  EXPECT_EQ(large.refusal->status, 413);
  HttpRequest stranger = head();
  stranger.authorization.clear();
  EXPECT_EQ(intake_->admit(stranger, 1).refusal->status, 401);
  stranger.path = "/api/v1/search";
  EXPECT_EQ(intake_->admit(stranger, 1).bytes_max, kRequestBodyBytesMax);
}

TEST_F(RecordsIntakeTest, NothingThatCouldMakeAnAnswerComplete) {
  const Allowance allowance = records_allowance(credentials_->list().front());
  for (const Kind kind :
       {Kind::kGap, Kind::kSourceStart, Kind::kSourceStop, Kind::kClock, Kind::kAddress, Kind::kAdmin, Kind::kBatch})
    EXPECT_EQ(allowance.kinds >> static_cast<unsigned>(kind) & 1, 0U);
  EXPECT_FALSE(allowance.check_source("billing/socket").has_value());
  EXPECT_FALSE(allowance.check_source("web-7/api/records").has_value());
}

}  // namespace
}  // namespace portbook
