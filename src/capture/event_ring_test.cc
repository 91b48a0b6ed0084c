#include "capture/event_ring.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

namespace portbook {
namespace {

// A ring as the kernel lays it out, in a file of its own. The data is not mirrored: records of these tests never wrap.
class FakeRing {
 public:
  static constexpr size_t kBytes = 4096;
  FakeRing() : fd_(memfd_create("ring", MFD_CLOEXEC)) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(2 * page + 2 * kBytes)), 0);
    pages_ = static_cast<char*>(mmap(nullptr, 2 * page + 2 * kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    consumer = reinterpret_cast<uint64_t*>(pages_);
    producer_ = reinterpret_cast<uint64_t*>(pages_ + page);
    data_ = pages_ + 2 * page;
  }
  ~FakeRing() { close(fd_); }
  FakeRing(const FakeRing&) = delete;

  // As bpf_ringbuf_reserve(); returns where the record is.
  uint64_t reserve(std::string_view bytes) {
    const uint64_t at = *producer_;
    const uint32_t head = static_cast<uint32_t>(bytes.size()) | 1u << 31;
    std::memcpy(data_ + at, &head, sizeof head);
    std::memcpy(data_ + at + 8, bytes.data(), bytes.size());
    *producer_ = at + (bytes.size() + 8 + 7) / 8 * 8;
    return at;
  }
  void finish(uint64_t at, bool discard) {
    uint32_t head = 0;
    std::memcpy(&head, data_ + at, sizeof head);
    head = (head & ~(1u << 31)) | (discard ? 1u << 30 : 0);
    std::memcpy(data_ + at, &head, sizeof head);
  }
  EventRing open() { return *EventRing::map(fd_, kBytes); }

  uint64_t* consumer = nullptr;

 private:
  int fd_;
  char* pages_ = nullptr;
  uint64_t* producer_ = nullptr;
  char* data_ = nullptr;
};

TEST(EventRing, hands_over_what_is_submitted_and_gives_the_room_back) {
  FakeRing fake;
  EventRing ring = fake.open();
  fake.finish(fake.reserve("one"), false);
  fake.finish(fake.reserve("twelve bytes"), false);
  std::vector<std::string> texts;
  const auto take = [&](std::string_view bytes) { texts.emplace_back(bytes); };
  EXPECT_FALSE(ring.drain(1, take));
  EXPECT_EQ(*fake.consumer, 16u);
  EXPECT_TRUE(ring.drain(10, take));
  EXPECT_EQ(texts, (std::vector<std::string>{"one", "twelve bytes"}));
  EXPECT_EQ(*fake.consumer, 40u);
}

TEST(EventRing, a_record_that_is_still_written_is_not_passed_and_nothing_is_called_whole) {
  FakeRing fake;
  EventRing ring = fake.open();
  const uint64_t slow = fake.reserve("slow");
  fake.finish(fake.reserve("later"), false);
  std::vector<std::string> texts;
  const auto take = [&](std::string_view bytes) { texts.emplace_back(bytes); };
  EXPECT_FALSE(ring.drain(10, take));
  EXPECT_TRUE(texts.empty());
  fake.finish(slow, false);
  EXPECT_TRUE(ring.drain(10, take));
  EXPECT_EQ(texts, (std::vector<std::string>{"slow", "later"}));
}

TEST(EventRing, what_its_writer_threw_away_is_passed_over) {
  FakeRing fake;
  EventRing ring = fake.open();
  fake.finish(fake.reserve("no"), true);
  fake.finish(fake.reserve("yes"), false);
  std::vector<std::string> texts;
  EXPECT_TRUE(ring.drain(10, [&](std::string_view bytes) { texts.emplace_back(bytes); }));
  EXPECT_EQ(texts, std::vector<std::string>{"yes"});
}

TEST(EventRing, without_a_ring_it_is_empty) {
  EventRing none;
  EXPECT_TRUE(none.drain(1, [](std::string_view) { FAIL(); }));
}

TEST(EventRing, a_descriptor_that_is_no_ring_is_refused) {
  EXPECT_FALSE(EventRing::map(-1, 4096).has_value());
}

}  // namespace
}  // namespace portbook
