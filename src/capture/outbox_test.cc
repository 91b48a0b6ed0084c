#include "capture/outbox.h"

#include <gtest/gtest.h>

#include <map>

#include "capture/fake_world_test.h"
#include "record/cbor.h"

namespace portbook {
namespace {

// A book that keeps what it is given while it is contiguous, and can be told to fail.
class FakeBook {
 public:
  void submit(const Batch& batch, const CaptureOptions::Done& done) {
    const Status status = take(batch);
    done(status);
  }
  Status take(const Batch& batch) {
    const std::lock_guard lock(mutex);
    ++asked;
    if (!failures.empty()) {
      const ErrorCode code = failures.front();
      failures.pop_front();
      return fail(code, "told to fail");
    }
    EXPECT_EQ(batch.seq_first, last[batch.source] + 1);
    last[batch.source] += batch.count;
    Record record;
    for (ByteView rest = batch.bytes; !rest.empty();) {
      const size_t length = *encoded_length(rest);
      EXPECT_TRUE(decode(rest.first(length), record).has_value());
      records.push_back(record);
      rest = rest.subspan(length);
    }
    return {};
  }

  std::mutex mutex;
  std::deque<ErrorCode> failures;
  std::map<std::string, uint64_t> last;
  std::vector<Record> records;
  int asked = 0;
};

Record note(uint64_t number) {
  Record record;
  record.set(Field::kKind, Kind::kListen);
  record.set(Field::kTime, number);
  record.set(Field::kVantage, Vantage::kSocket);
  return record;
}

struct OutboxWorld {
  FakeBook book;
  Outbox outbox{"web-7", [this](const Batch& batch, const CaptureOptions::Done& done) { book.submit(batch, done); },
                system_clock()};
};

TEST(Outbox, brings_every_record_in_order_with_host_and_numbers) {
  OutboxWorld world;
  Stream& stream = world.outbox.open("web-7/socket", 1);
  for (uint64_t i = 1; i <= 1000; ++i) {
    Record record = note(i);
    stream.add(record);
    if (i % 7 == 0) stream.flush();
  }
  ASSERT_TRUE(world.outbox.drain(std::chrono::seconds(5)));
  ASSERT_EQ(world.book.records.size(), 1000u);
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(world.book.records[i].time(), i + 1);
    EXPECT_EQ(world.book.records[i].uint(Field::kSourceSeq), i + 1);
    EXPECT_EQ(world.book.records[i].text(Field::kHost), "web-7");
  }
}

TEST(Outbox, hands_over_again_what_could_not_be_taken) {
  OutboxWorld world;
  world.book.failures = {ErrorCode::kIo, ErrorCode::kUnavailable};
  Stream& stream = world.outbox.open("web-7/socket", 1);
  Record record = note(5);
  stream.add(record);
  ASSERT_TRUE(world.outbox.drain(std::chrono::seconds(10)));
  EXPECT_EQ(world.book.asked, 3);
  ASSERT_EQ(world.book.records.size(), 1u);
  EXPECT_EQ(world.book.records[0].time(), 5u);
}

TEST(Outbox, a_refused_batch_becomes_a_gap_and_the_rest_follows_without_a_hole) {
  OutboxWorld world;
  world.book.last["web-7/socket"] = 9;
  world.book.failures = {ErrorCode::kBadInput};
  Stream& stream = world.outbox.open("web-7/socket", 10);
  {
    // The book is busy, so that the later records wait behind the refused batch.
    const std::lock_guard lock(world.book.mutex);
    for (uint64_t i = 1; i <= 3; ++i) {
      Record record = note(i);
      stream.add(record);
    }
    stream.flush();
    while (world.outbox.batches() == 0) std::this_thread::yield();
    Record record = note(4);
    stream.add(record);
  }
  ASSERT_TRUE(world.outbox.drain(std::chrono::seconds(5)));
  ASSERT_EQ(world.book.records.size(), 2u);
  EXPECT_EQ(world.book.records[0].kind(), Kind::kGap);
  EXPECT_EQ(world.book.records[0].uint(Field::kCount), 3u);
  EXPECT_EQ(world.book.records[0].uint_or(Field::kStart, 0), 1u);
  EXPECT_EQ(world.book.records[0].uint_or(Field::kEnd, 0), world.book.records[0].time());
  EXPECT_EQ(world.book.records[0].uint(Field::kSourceSeq), 10u);
  EXPECT_EQ(world.book.records[1].time(), 4u);
  EXPECT_EQ(world.book.records[1].uint(Field::kSourceSeq), 11u);
}

// What went further of up to when everything is handed over, and how much the book had then.
struct ToldWorld {
  std::vector<std::pair<TimeNs, uint64_t>> said() {
    const std::lock_guard lock(mutex);
    return all;
  }
  FakeBook book;
  std::mutex mutex;
  std::vector<std::pair<TimeNs, uint64_t>> all;
  Outbox outbox{"web-7", [this](const Batch& batch, const CaptureOptions::Done& done) { book.submit(batch, done); }, system_clock(),
                [this](const std::string& source, TimeNs until) {
                  EXPECT_EQ(source, "web-7/socket");
                  const std::lock_guard lock(mutex);
                  const std::lock_guard book_lock(book.mutex);
                  all.emplace_back(until, book.last[source]);
                }};
  Stream& stream = outbox.open("web-7/socket", 1);
};

TEST(Outbox, told_goes_further_at_once_where_nothing_waits) {
  ToldWorld world;
  world.stream.told(7);
  world.stream.told(7);
  world.stream.told(8);
  EXPECT_EQ(world.said(), (std::vector<std::pair<TimeNs, uint64_t>>{{7, 0}, {8, 0}}));
}

TEST(Outbox, told_goes_further_only_when_the_sink_has_what_was_added_before) {
  ToldWorld world;
  {
    const std::lock_guard lock(world.book.mutex);
    Record first = note(1);
    world.stream.add(first);
    world.stream.told(10);
    world.stream.flush();
    while (world.outbox.batches() == 0) std::this_thread::yield();
    Record second = note(2);
    world.stream.add(second);
    world.stream.told(20);
    world.stream.flush();
    const std::lock_guard said_lock(world.mutex);
    EXPECT_TRUE(world.all.empty());
  }
  ASSERT_TRUE(world.outbox.drain(std::chrono::seconds(5)));
  EXPECT_EQ(world.said(), (std::vector<std::pair<TimeNs, uint64_t>>{{10, 1}, {20, 2}}));
}

TEST(Outbox, told_waits_for_what_stands_behind_a_refused_batch) {
  ToldWorld world;
  world.book.failures = {ErrorCode::kBadInput, ErrorCode::kUnavailable};
  Record record = note(1);
  world.stream.add(record);
  world.stream.told(10);
  world.stream.flush();
  ASSERT_TRUE(world.outbox.drain(std::chrono::seconds(5)));
  EXPECT_EQ(world.said(), (std::vector<std::pair<TimeNs, uint64_t>>{{10, 1}})) << "with the gap that took its place";
}

TEST(Outbox, says_when_too_much_waits) {
  FakeBook book;
  std::mutex shut;
  shut.lock();
  {
    Outbox outbox(
        "web-7",
        [&](const Batch& batch, const CaptureOptions::Done& done) {
          const std::lock_guard lock(shut);
          book.submit(batch, done);
        },
        system_clock());
    Stream& stream = outbox.open("web-7/socket", 1);
    uint64_t added = 0;
    while (!stream.crowded() && added < 100 * kBatchRecordsMax) {
      Record record = note(++added);
      stream.add(record);
    }
    EXPECT_LT(added, 20u * kBatchRecordsMax);
    shut.unlock();
    EXPECT_TRUE(outbox.drain(std::chrono::seconds(20)));
    EXPECT_EQ(book.last["web-7/socket"], added);
  }
}

}  // namespace
}  // namespace portbook
