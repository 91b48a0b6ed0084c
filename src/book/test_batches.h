// For tests: a source that makes plausible records, and a folder that goes when the test ends.
#pragma once

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <random>
#include <string>

#include "base/check.h"
#include "base/clock.h"
#include "record/batch.h"

namespace portbook {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "portbook-test-XXXXXX").string();
    PB_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The machine's clock, set forward as the test wants.
class ForwardClock final : public Clock {
 public:
  TimeNs now() override { return system_clock().now() + forward; }
  uint64_t boot_ns() override { return system_clock().boot_ns() + forward; }
  std::atomic<uint64_t> forward{0};
};

// Connections that open and close, now and then a process or an address; the same for the same seed.
class TestSource {
 public:
  explicit TestSource(std::string name, uint64_t seed = 1) : builder_(std::move(name), 1), random_(seed) {}

  Batch batch(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      make();
      builder_.add(record_);
    }
    return builder_.take();
  }

 private:
  uint64_t below(uint64_t end) { return random_() % end; }

  void make() {
    record_.clear();
    now_ += below(2'000'000);
    record_.set(Field::kTime, now_);
    record_.set(Field::kHost, "web-7");
    record_.set(Field::kVantage, Vantage::kSocket);
    record_.set(Field::kClockError, 40'000 + below(1000));
    const uint64_t what = below(20);
    if (what == 0) {
      make_process();
    } else if (what == 1) {
      record_.set(Field::kKind, Kind::kAddress);
      record_.set(Field::kAddress, Ip::v4(0x0a080000 + static_cast<uint32_t>(below(200))));
      record_.set(Field::kState, AddressState::kUp);
      record_.set(Field::kInterface, "eth0");
    } else {
      make_connection(what < 11);
    }
  }

  void make_process() {
    record_.set(Field::kKind, Kind::kProcess);
    record_.set(Field::kPid, 1000 + below(4000));
    record_.set(Field::kProcessStart, now_ - 5'000'000'000);
    record_.set(Field::kExe, "/usr/bin/python3");
    record_.set(Field::kCmdline, "python3 /srv/job.py --shard " + std::to_string(below(100'000)));
    record_.set(Field::kUid, 1001);
  }

  void make_connection(bool opens) {
    const uint64_t cookie = opens ? ++cookie_ : 1 + below(cookie_ + 1);
    Id128 conn{0x42, 0x17, 0x99, 0x01, 0xab, 0xcd, 0xef, 0x10};
    store_big(conn.data() + 8, cookie);
    record_.set(Field::kKind, opens ? Kind::kOpen : Kind::kClose);
    record_.set(Field::kProto, Proto::kTcp);
    record_.set(Field::kDirection, Direction::kOut);
    record_.set(Field::kSrcIp, Field::kSrcPort, {Ip::v4(0x0a080311), static_cast<uint16_t>(32768 + cookie * 7 % 28232)});
    record_.set(Field::kDstIp, Field::kDstPort, {Ip::v4(0xc0000200 + static_cast<uint32_t>(below(9))), 5432});
    record_.set(Field::kConn, conn);
    record_.set(Field::kPid, 1000 + cookie % 400);
    record_.set(Field::kProcessStart, now_ - 5'000'000'000);
    record_.set(Field::kExe, "/usr/bin/python3");
    record_.set(Field::kUid, 1001);
    record_.set(Field::kNetns, 4026531840);
    record_.set(Field::kNat, Nat::kNone);
    if (opens) return;
    record_.set(Field::kStart, now_ - below(9'000'000'000));
    record_.set(Field::kEnd, now_);
    record_.set(Field::kBytesOut, below(100'000));
    record_.set(Field::kBytesIn, below(100'000));
  }

  BatchBuilder builder_;
  std::mt19937_64 random_;
  Record record_;
  uint64_t now_ = 1'795'000'000'000'000'000;
  uint64_t cookie_ = 0;
};

}  // namespace portbook
