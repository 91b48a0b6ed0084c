#include "book/local_book.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <map>

#include "book/test_batches.h"
#include "merkle/checkpoint.h"
#include "merkle/proof.h"
#include "merkle/tile.h"
#include "record/cbor.h"

namespace portbook {
namespace {

class LocalBookTest : public testing::Test {
 protected:
  [[nodiscard]] BookOptions options() const {
    return {.folder = folder_.path(),
            .origin = "book.example.org/web-7",
            .host = "web-7",
            .log_file_bytes = 1 << 20,
            .reserve_bytes = 1 << 20};
  }
  std::unique_ptr<Book> open() {
    auto book = Book::open(options(), system_clock());
    EXPECT_TRUE(book.has_value()) << (book ? "" : book.error().message);
    return book ? std::move(*book) : nullptr;
  }
  TemporaryFolder folder_;
};

Bytes bytes_of(const View& view, uint64_t index) {
  Record record;
  EXPECT_TRUE(view.read(index, record).has_value());
  Bytes bytes;
  encode(record, bytes);
  return bytes;
}

TEST_F(LocalBookTest, FirstRecordSaysThatTheKeyWasMade) {
  const auto book = open();
  ASSERT_EQ(book->view().size(), 1U);
  Record record;
  ASSERT_TRUE(book->view().read(0, record).has_value());
  EXPECT_EQ(record.kind(), Kind::kAdmin);
  EXPECT_EQ(record.text(Field::kAction), "key made");
  EXPECT_NE(record.text(Field::kMessage).find(book->vkey()), std::string_view::npos);
  const auto mode = std::filesystem::status(folder_.path() / "key").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(LocalBookTest, AnAcceptedBatchIsFollowedByItsBatchRecord) {
  const auto book = open();
  TestSource source("web-7/socket");
  const auto receipt = book->append(source.batch(10));
  ASSERT_TRUE(receipt.has_value()) << receipt.error().message;
  EXPECT_EQ(receipt->first_index, 1U);
  EXPECT_EQ(receipt->tree_size, 12U);
  Record record;
  ASSERT_TRUE(book->view().read(11, record).has_value());
  EXPECT_EQ(record.kind(), Kind::kBatch);
  EXPECT_EQ(record.text(Field::kAbout), "web-7/socket");
  EXPECT_EQ(record.text(Field::kSource), "web-7/book");
  EXPECT_EQ(record.uint(Field::kSourceSeq), 2U);
  EXPECT_EQ(record.uint(Field::kFirstIndex), 1U);
  EXPECT_EQ(record.uint(Field::kSeqLast), 10U);
  EXPECT_EQ(book->last_seq("web-7/socket"), 10U);
  EXPECT_EQ(book->last_seq("nobody"), 0U);
}

TEST_F(LocalBookTest, KeepsEverythingOverARestart) {
  TestSource source("web-7/socket");
  std::vector<Bytes> before;
  std::string checkpoint;
  {
    const auto book = open();
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(book->append(source.batch(50)).has_value());
    for (uint64_t i = 0; i < book->view().size(); ++i) before.push_back(bytes_of(book->view(), i));
    checkpoint = book->checkpoint();
  }
  const auto book = open();
  EXPECT_EQ(book->recovery_report(), "");
  EXPECT_EQ(book->checkpoint(), checkpoint);
  ASSERT_EQ(book->view().size(), before.size());
  for (uint64_t i = 0; i < before.size(); ++i) EXPECT_EQ(bytes_of(book->view(), i), before[i]);
  EXPECT_EQ(book->last_seq("web-7/socket"), 1000U);
  EXPECT_TRUE(book->append(source.batch(1)).has_value());
}

TEST_F(LocalBookTest, ProvesEveryRecordAndEveryOlderTree) {
  const auto book = open();
  TestSource source("web-7/socket");
  std::vector<Checkpoint> heads;
  const Verifier verifier = *parse_vkey(book->vkey());
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(book->append(source.batch(97)).has_value());
    heads.push_back(*open_checkpoint(book->checkpoint(), verifier));
  }
  const View view = book->view();
  for (uint64_t index = 0; index < view.size(); ++index) {
    const auto proof = book->prove(index);
    ASSERT_TRUE(proof.has_value());
    EXPECT_TRUE(verify_inclusion(leaf_hash(bytes_of(view, index)), index, heads.back().head, proof->hashes).has_value());
  }
  for (const Checkpoint& old : heads) {
    const auto proof = book->prove_consistency(old.head.size);
    ASSERT_TRUE(proof.has_value());
    EXPECT_TRUE(verify_consistency(old.head, heads.back().head, proof->hashes).has_value());
  }
  EXPECT_EQ(book->prove(view.size()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(book->prove_consistency(0).error().code, ErrorCode::kBadInput);
}

TEST_F(LocalBookTest, ServesTiles) {
  const auto book = open();
  TestSource source("web-7/socket");
  ASSERT_TRUE(book->append(source.batch(600)).has_value());
  ASSERT_EQ(book->view().size(), 602U);
  EXPECT_EQ(book->tile_file("tile/0/000")->size(), 256U * 32);
  EXPECT_EQ(book->tile_file("tile/0/002.p/90")->size(), 90U * 32);
  EXPECT_EQ(book->tile_file("tile/1/000.p/2")->size(), 2U * 32);
  EXPECT_EQ(book->tile_file("tile/0/002").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(book->tile_file("tile/0/2").error().code, ErrorCode::kBadInput);
  EXPECT_EQ(as_text(*book->tile_file("checkpoint")), book->checkpoint());
  const Bytes bundle = *book->tile_file("tile/entries/000.p/1");
  const Bytes first = bytes_of(book->view(), 0);
  EXPECT_EQ(load_big<uint16_t>(bundle.data()), first.size());
  EXPECT_EQ(Bytes(bundle.begin() + 2, bundle.end()), first);
}

TEST_F(LocalBookTest, RefusesWhatDoesNotFollow) {
  const auto book = open();
  TestSource source("web-7/socket");
  Batch first = source.batch(3);
  Batch second = source.batch(3);
  EXPECT_EQ(book->append(second).error().code, ErrorCode::kBadInput);
  EXPECT_TRUE(book->append(first).has_value());
  EXPECT_EQ(book->append(first).error().code, ErrorCode::kBadInput);
  EXPECT_TRUE(book->append(second).has_value());
  Batch other = source.batch(2);
  other.source = "somebody";
  EXPECT_NE(book->append(other).error().message.find("source"), std::string::npos);
  Batch own;
  own = TestSource("web-7/book").batch(1);
  EXPECT_EQ(book->append(own).error().code, ErrorCode::kBadInput);
}

// Three blocks and a bit: sealed while it runs, given back, and the same after a restart.
TEST_F(LocalBookTest, SealsFullBlocks) {
  constexpr uint64_t kRecords = 3 * 65'536 + 1000;
  TestSource source("web-7/socket");
  std::map<uint64_t, Bytes> kept;
  std::string checkpoint;
  const auto sealed = [&] { return std::filesystem::exists(folder_.path() / "segment-000000000131072"); };
  {
    const auto book = open();
    while (book->view().size() < kRecords) {
      const auto receipt = book->append(source.batch(5000));
      ASSERT_TRUE(receipt.has_value()) << receipt.error().message;
      kept[receipt->first_index] = bytes_of(book->view(), receipt->first_index);
    }
    // The sealer works beside the writer; a book that closes does not wait for it.
    for (int i = 0; i < 1000 && !sealed(); ++i) book->wait_beyond(UINT64_MAX, std::chrono::milliseconds(10));
    ASSERT_TRUE(sealed());
    checkpoint = book->checkpoint();
    for (const auto& [index, bytes] : kept) EXPECT_EQ(bytes_of(book->view(), index), bytes);
  }
  const auto book = open();
  EXPECT_EQ(book->recovery_report(), "");
  EXPECT_EQ(book->checkpoint(), checkpoint);
  const Verifier verifier = *parse_vkey(book->vkey());
  for (const auto& [index, bytes] : kept) {
    EXPECT_EQ(bytes_of(book->view(), index), bytes);
    const auto proof = book->prove(index);
    ASSERT_TRUE(proof.has_value());
    EXPECT_TRUE(verify_inclusion(leaf_hash(bytes), index, open_checkpoint(checkpoint, verifier)->head, proof->hashes).has_value());
  }
  EXPECT_TRUE(book->append(source.batch(1)).has_value()) << "the sequence goes on";

  const View view = book->view();
  for (const uint64_t index : {100UL, 70'000UL, 140'000UL, kRecords - 1}) {
    Record record;
    ASSERT_TRUE(view.read(index, record).has_value());
    if (!record.has(Field::kConn)) continue;
    std::vector<uint64_t> found;
    const Id128 conn = record.id128(Field::kConn);
    ASSERT_TRUE(view.for_each_with(conn_key(conn),
                                   [&](uint64_t at, const Record& one) {
                                     if (one.has(Field::kConn) && one.id128(Field::kConn) == conn) found.push_back(at);
                                     return true;
                                   })
                    .has_value());
    EXPECT_TRUE(std::ranges::is_sorted(found, std::greater<>()));
    EXPECT_NE(std::ranges::find(found, index), found.end());
  }
}

TEST_F(LocalBookTest, OneProcessAtATime) {
  const auto book = open();
  const auto second = Book::open(options(), system_clock());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
}

TEST_F(LocalBookTest, TellsWhoWaits) {
  const auto book = open();
  std::vector<uint64_t> sizes;
  const uint64_t token = book->listen([&](uint64_t size) { sizes.push_back(size); });
  TestSource source("web-7/socket");
  ASSERT_TRUE(book->append(source.batch(5)).has_value());
  EXPECT_TRUE(book->wait_beyond(6, std::chrono::seconds(10)));
  EXPECT_FALSE(book->wait_beyond(7, std::chrono::milliseconds(0)));
  book->unlisten(token);
  ASSERT_TRUE(book->append(source.batch(5)).has_value());
  EXPECT_EQ(sizes, std::vector<uint64_t>{7});
}

// The writer is held up by whoever takes its answer.
TEST_F(LocalBookTest, SaysSinceWhenItDoesNotKeepUp) {
  ForwardClock clock;
  const auto book = std::move(*Book::open(options(), clock));
  std::promise<void> begun;
  std::promise<void> go_on;
  TestSource source("web-7/socket");
  book->submit(source.batch(5), [&, wait = go_on.get_future().share()](const Result<Receipt>&) {
    begun.set_value();
    wait.wait();
  });
  begun.get_future().wait();
  EXPECT_FALSE(book->stalled()) << "nothing waits";
  const TimeNs handed_over = clock.now();
  std::promise<void> answered;
  book->submit(source.batch(5), [&](const Result<Receipt>&) { answered.set_value(); });
  EXPECT_FALSE(book->stalled()) << "not for long enough";
  clock.forward = 2 * kStallNs;
  const auto stall = book->stalled();
  go_on.set_value();
  answered.get_future().wait();
  ASSERT_TRUE(stall);
  EXPECT_EQ(stall->reason, "the disk does not keep up");
  EXPECT_LE(stall->since, handed_over) << "records are older than their batch";
  EXPECT_GE(stall->since + 10 * kNsPerSecond, handed_over);
  // The answer comes before the writer has looked at what else waits.
  ASSERT_TRUE(book->append(source.batch(1)).has_value());
  EXPECT_FALSE(book->stalled());
}

}  // namespace
}  // namespace portbook
