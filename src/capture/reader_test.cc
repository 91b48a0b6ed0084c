#include "capture/reader.h"

#include <gtest/gtest.h>

#include <condition_variable>

#include "capture/fake_world_test.h"
#include "capture/outbox.h"
#include "record/cbor.h"

namespace portbook {
namespace {

// Programs that see nothing; somebody has detached one of them.
class DetachedPrograms final : public KernelPrograms {
 public:
  const std::vector<MissingProgram>& missing() const override { return missing_; }
  bool attached(std::string_view) const override { return true; }
  bool drain_sockets(size_t, const TakeSocket&) override { return true; }
  bool drain_datagrams(size_t, const TakeDatagram&) override { return true; }
  bool drain_processes(size_t, const TakeProcess&) override { return true; }
  Counts counts(EventKind) override { return {zeros_, zeros_}; }
  Totals totals(EventKind) const override { return {}; }
  Status list_processes(const TakeProcess&) override { return {}; }
  Status find_owners() override { return {}; }
  Status list_sockets(uint32_t, const TakeSocket&) override { return {}; }
  Status list_alive(const TakeSocket&) override { return {}; }
  Status find_datagram_owners() override { return {}; }
  Status list_datagram_sockets(uint32_t, const TakeDatagram&) override { return {}; }
  Status sweep_peers(uint64_t, bool, bool, const TakeDatagram&) override { return {}; }
  bool take_peer(const pb_peer_key&, pb_peer&) override { return false; }
  void set_peers_ended(uint64_t, uint64_t) override {}
  Status list_cookies(const std::function<void(uint64_t)>&) override { return {}; }
  std::vector<std::string> find_detached() override { return {"on_socket"}; }
  Status attach_again(std::string_view) override { return fail(ErrorCode::kUnavailable, "it is gone"); }

 private:
  std::vector<MissingProgram> missing_;
  std::vector<uint64_t> zeros_ = {0};
};

// Each look at it is a second later.
class HastyClock final : public Clock {
 public:
  TimeNs now() override { return boot_.load() + StandingClock::kOffset; }
  uint64_t boot_ns() override { return boot_.fetch_add(kNsPerSecond); }

 private:
  std::atomic<uint64_t> boot_{100 * kNsPerSecond};
};

TEST(Reader, a_detached_program_is_a_gap_that_has_not_ended) {
  std::mutex mutex;
  std::condition_variable came;
  std::vector<Record> gaps;
  Outbox outbox(
      "web-7",
      [&](const Batch& batch, const CaptureOptions::Done& done) {
        {
          const std::lock_guard lock(mutex);
          Record record;
          for (ByteView rest = batch.bytes; !rest.empty(); rest = rest.subspan(*encoded_length(rest))) {
            EXPECT_TRUE(decode(rest.first(*encoded_length(rest)), record).has_value());
            if (record.kind() == Kind::kGap) gaps.push_back(record);
          }
        }
        came.notify_all();
        done({});
      },
      system_clock());
  Stream& stream = outbox.open("web-7/socket", 1);
  DetachedPrograms programs;
  NatTable nat;
  HastyClock clock;
  const auto operations = make_direct_operations();
  Reader reader({}, *operations, &programs, nat, stream, clock);
  reader.start();
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(came.wait_for(lock, std::chrono::seconds(20), [&] { return !gaps.empty(); }));
    EXPECT_TRUE(gaps.front().has(Field::kStart));
    EXPECT_FALSE(gaps.front().has(Field::kEnd));
  }
  reader.stop();
}

}  // namespace
}  // namespace portbook
