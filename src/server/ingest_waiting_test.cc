// An ingest whose book is slow, or writes nothing: what it holds is bounded, and it lets nobody in of whom the book cannot say so.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>

#include "base/clock.h"
#include "book/test_batches.h"
#include "server/ingest.h"
#include "ship/stream_socket.h"

namespace portbook {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

// Answers for nothing that agents ship, and writes nothing of what is said by the book itself.
class WaitingBook final : public Book {
 public:
  void submit(Batch batch, Done done) override {
    (void)batch;
    done(fail(ErrorCode::kIo, "the disk is full"));
  }
  void submit_checked(CheckedBatch batch, Done done) override {
    const std::lock_guard lock(mutex_);
    held_ += held_bytes(batch.batch.bytes.size(), batch.batch.count);
    waiting_.push_back(std::move(done));
  }
  // Refuses what waits; further batches wait again.
  void answer() {
    std::vector<Done> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting.swap(waiting_);
      held_ = 0;
    }
    for (const Done& done : waiting) done(fail(ErrorCode::kIo, "the disk is full"));
  }
  size_t held() {
    const std::lock_guard lock(mutex_);
    return held_;
  }
  size_t waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  uint64_t last_seq(std::string_view) const override { return 0; }
  View view() const override { return {}; }
  bool wait_beyond(uint64_t, std::chrono::milliseconds) override { return false; }
  uint64_t listen(std::function<void(uint64_t)>) override { return 0; }
  void unlisten(uint64_t) override {}
  std::string checkpoint() const override { return {}; }
  std::string vkey() const override { return {}; }
  std::string origin() const override { return "test.example.org"; }
  std::string recovery_report() const override { return {}; }
  std::optional<std::string> read_only_reason() const override { return {}; }
  std::optional<Stall> stalled() const override { return {}; }
  SelfCheckState self_check() const override { return {}; }
  Result<InclusionProof> prove(uint64_t) override { return fail(ErrorCode::kNotFound, "none"); }
  Result<InclusionProof> prove_consistency(uint64_t, std::optional<uint64_t>) override {
    return fail(ErrorCode::kNotFound, "none");
  }
  Result<Bytes> tile_file(std::string_view) override { return fail(ErrorCode::kNotFound, "none"); }

 private:
  std::mutex mutex_;
  size_t held_ = 0;
  std::vector<Done> waiting_;
};

struct World {
  World() : credentials(std::move(*Credentials::load(folder.path()))) {
    IngestOptions options;
    options.socket = folder.path() / "ingest.sock";
    options.host = "web-7";
    auto bound = Ingest::bind(book, *credentials, options, system_clock());
    EXPECT_TRUE(bound.has_value());
    ingest = std::move(*bound);
    ingest->run();
  }
  TemporaryFolder folder;
  WaitingBook book;
  std::unique_ptr<Credentials> credentials;
  std::unique_ptr<Ingest> ingest;
};

TEST(IngestWaiting, of_batches_of_one_record_each_it_holds_no_more_memory_than_of_large_ones) {
  World world;
  const auto fd = connect_unix(world.folder.path() / "ingest.sock");
  ASSERT_TRUE(fd.has_value());
  Bytes out;
  append_message(out, AgentHello{kShipVersion, "web-7", "test", ""});
  append_message(out, SourceOpen{1, "web-7/socket"});
  TestSource source("web-7/socket");
  constexpr size_t kBatches = 3 * kShipWindowBytes / kBatchHeldBytes;  // far below the window by their records alone
  size_t record_bytes = 0;
  for (size_t i = 0; i < kBatches; ++i) {
    const Batch batch = source.batch(1);
    record_bytes += batch.bytes.size();
    append_message(out, ShippedBatch{1, batch.count, batch.seq_first, batch.bytes});
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  size_t at = 0;
  // Whoever is not read from can write no more.
  while (!out.empty() && world.book.held() < kShipWindowBytes && std::chrono::steady_clock::now() < deadline) {
    pollfd writable{fd->get(), POLLOUT, 0};
    if (poll(&writable, 1, 10) > 0) (void)write_some(*fd, out, at);
  }
  EXPECT_GE(world.book.held(), kShipWindowBytes);
  EXPECT_LT(world.book.waiting(), kBatches / 2) << "of " << record_bytes << " bytes of records";
  const size_t waiting = world.book.waiting();
  world.book.answer();
  while (world.book.waiting() == 0 && std::chrono::steady_clock::now() < deadline) {
    pollfd writable{fd->get(), POLLOUT, 0};
    if (!out.empty() && poll(&writable, 1, 10) > 0) (void)write_some(*fd, out, at);
  }
  EXPECT_GT(world.book.waiting(), 0u) << "it goes on once they are answered, after " << waiting;
  world.book.answer();
  shutdown(fd->get(), SHUT_RDWR);
  while (world.ingest->agents().front().connected && std::chrono::steady_clock::now() < deadline) world.book.answer();
}

TEST(IngestWaiting, nobody_is_enrolled_of_whom_the_book_cannot_say_so) {
  World world;
  ASSERT_TRUE(world.credentials->enrol({"web-8", token_hash("before"), kAgentVantages, 1}).has_value());
  EnrolmentRequest request;
  request.action = EnrolmentAction::kEnrol;
  request.host = "web-8";
  request.vantages = kAgentVantages;
  request.token_hash = token_hash("after");
  const auto done = world.ingest->enrolment(request, 0);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().message, "the disk is full");
  EXPECT_TRUE(world.credentials->find("before"));
  EXPECT_FALSE(world.credentials->find("after"));
}

TEST(IngestWaiting, a_credential_is_taken_back_also_when_the_book_cannot_record_it) {
  World world;
  ASSERT_TRUE(world.credentials->enrol({"web-8", token_hash("known"), kAgentVantages, 1}).has_value());
  EnrolmentRequest request;
  request.action = EnrolmentAction::kRevoke;
  request.host = "web-8";
  const auto done = world.ingest->enrolment(request, 0);
  ASSERT_FALSE(done.has_value());
  EXPECT_NE(done.error().message.find("may not write to this book any more. The book could not record it: the disk is full"),
            std::string::npos)
      << done.error().message;
  EXPECT_FALSE(world.credentials->find("known"));
}

}  // namespace
}  // namespace portbook
