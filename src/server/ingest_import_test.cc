// An import into a running book: BookLink on one side, Ingest on the other.
#include <gtest/gtest.h>

#include <future>

#include "book/test_batches.h"
#include "server/ingest.h"
#include "ship/book_link.h"

namespace portbook {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);
constexpr std::string_view kSource = "web-7/import/old";

class IngestImportTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = Book::open({.folder = folder_.path() / "book", .origin = "test.example.org", .host = "web-7"}, system_clock());
    ASSERT_TRUE(opened.has_value());
    book_ = std::move(*opened);
    credentials_ = std::move(*Credentials::load(folder_.path()));
    start();
  }
  void start() {
    IngestOptions options;
    options.socket = socket();
    options.host = "web-7";
    options.own_token = "supervisor";
    auto others = listen_unix(folder_.path() / "others.sock", 0666);
    ASSERT_TRUE(others.has_value());
    auto bound = Ingest::bind(*book_, *credentials_, options, system_clock(), std::move(*others));
    ASSERT_TRUE(bound.has_value());
    ingest_ = std::move(*bound);
    ingest_->run();
  }
  [[nodiscard]] std::filesystem::path socket() const { return folder_.path() / "ingest.sock"; }
  [[nodiscard]] Result<std::unique_ptr<BookLink>> connect() const { return BookLink::connect({socket(), "web-7", "test"}); }
  // Notes, as an import gives them.
  static Batch notes(BatchBuilder& builder, uint32_t count) {
    Record record;
    for (uint32_t i = 0; i < count; ++i) {
      record.clear();
      record.set(Field::kKind, Kind::kNote);
      record.set(Field::kVantage, Vantage::kApp);
      record.set(Field::kTime, uint64_t{1'795'000'000'000'000'000} + i);
      record.set(Field::kHost, "of another host");
      builder.add(record);
    }
    return builder.take();
  }
  static Status submit(BookLink& link, Batch batch) {
    auto answer = std::make_shared<std::promise<Status>>();  // shared: an answer may come after the test gave up
    auto come = answer->get_future();
    link.submit(std::move(batch), [answer](const Status& status) { answer->set_value(status); });
    return come.wait_for(kPatience) == std::future_status::ready ? come.get() : fail(ErrorCode::kUnavailable, "no answer");
  }

  TemporaryFolder folder_;
  std::unique_ptr<Book> book_;
  std::unique_ptr<Credentials> credentials_;
  std::unique_ptr<Ingest> ingest_;
};

TEST_F(IngestImportTest, WhatIsAnsweredIsInTheBookAndNoAgentCameOrWent) {
  auto link = connect();
  ASSERT_TRUE(link.has_value()) << link.error().message;
  EXPECT_EQ((*link)->origin(), "test.example.org");
  EXPECT_EQ((*link)->open(std::string(kSource)).value(), 0U);
  BatchBuilder builder{std::string(kSource), 1};
  for (uint64_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(submit(**link, notes(builder, 50)).has_value());
    EXPECT_EQ(book_->last_seq(kSource), 50 * i);
  }
  link->reset();
  EXPECT_TRUE(ingest_->agents().empty());
  EXPECT_TRUE(ingest_->absences().agents.empty());
}

TEST_F(IngestImportTest, ManyBatchesUnderWayStayWithinTheWindowAndInOrder) {
  auto link = connect();
  ASSERT_TRUE(link.has_value());
  ASSERT_TRUE((*link)->open(std::string(kSource)).has_value());
  BatchBuilder builder{std::string(kSource), 1};
  std::atomic<int> taken = 0;
  constexpr int kBatches = 60;
  for (int i = 0; i < kBatches; ++i)
    (*link)->submit(notes(builder, 5'000), [&](const Status& status) { taken += status.has_value(); });
  ASSERT_TRUE(submit(**link, notes(builder, 1)).has_value());
  EXPECT_EQ(taken, kBatches);
  EXPECT_EQ(book_->last_seq(kSource), 5'000U * kBatches + 1);
}

TEST_F(IngestImportTest, ABookThatGoesAwayAnswersForEveryBatchAndANewLinkGoesOn) {
  auto link = connect();
  ASSERT_TRUE(link.has_value());
  ASSERT_TRUE((*link)->open(std::string(kSource)).has_value());
  BatchBuilder builder{std::string(kSource), 1};
  ASSERT_TRUE(submit(**link, notes(builder, 10)).has_value());
  ingest_.reset();
  const Status late = submit(**link, notes(builder, 10));
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE((*link)->failure().has_value());
  EXPECT_EQ(connect().error().code, ErrorCode::kUnavailable);
  start();
  auto again = connect();
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ((*again)->open(std::string(kSource)).value(), 10U);
}

TEST_F(IngestImportTest, OnlySourcesOfImportsAndOnlyWhatAnImportMaySay) {
  auto link = connect();
  ASSERT_TRUE(link.has_value());
  for (const char* source : {"web-7/socket", "web-7/log/x", "web-8/import/x", "web-7/import/"}) {
    const auto opened = (*link)->open(source);
    ASSERT_FALSE(opened.has_value()) << source;
    EXPECT_EQ(opened.error().code, ErrorCode::kDenied) << source;
  }
  ASSERT_TRUE((*link)->open(std::string(kSource)).has_value());
  BatchBuilder builder{std::string(kSource), 1};
  Record record;
  record.set(Field::kKind, Kind::kGap);
  record.set(Field::kVantage, Vantage::kApp);
  record.set(Field::kTime, uint64_t{1'795'000'000'000'000'000});
  builder.add(record);
  const Status gap = submit(**link, builder.take());
  ASSERT_FALSE(gap.has_value());
  EXPECT_EQ(gap.error().code, ErrorCode::kBadInput);
  EXPECT_NE(gap.error().message.find("kind gap"), std::string::npos) << gap.error().message;
}

TEST_F(IngestImportTest, TwoDoNotWriteOneSourceAtOnce) {
  auto one = connect();
  auto other = connect();
  ASSERT_TRUE(one.has_value() && other.has_value());
  ASSERT_TRUE((*one)->open(std::string(kSource)).has_value());
  const auto refused = (*other)->open(std::string(kSource));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
}

TEST_F(IngestImportTest, WhoDoesNotOwnTheBookMayNotImport) {
  // At the socket for others a number of a user means nothing.
  const auto link = BookLink::connect({folder_.path() / "others.sock", "web-7", "test"});
  ASSERT_FALSE(link.has_value());
  EXPECT_EQ(link.error().code, ErrorCode::kDenied);
  EXPECT_NE(link.error().message.find("may not import"), std::string::npos);
}

}  // namespace
}  // namespace portbook
