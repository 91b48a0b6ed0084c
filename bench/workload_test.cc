#include "workload.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "record/json.h"

namespace portbook {
namespace {

constexpr uint64_t kRecords = 200'000;
constexpr uint64_t kMinute = 60 * kNsPerSecond;

struct Seen {
  std::map<Kind, uint64_t> kinds;
  std::map<Id128, Kind> last;  // of socket records and leases
  uint64_t late = 0;
  uint64_t v6 = 0;
  uint64_t outbound_opens = 0;
  uint64_t open_ports_doubled = 0;
  uint64_t without_process = 0;
};

Seen look(const WorkloadOptions& options) {
  Seen seen;
  Workload workload(options);
  Record record;
  TimeNs newest = 0;
  std::set<std::tuple<std::string, uint64_t, TimeNs>> processes;
  std::map<std::pair<Ip, uint64_t>, Id128> ports;
  for (uint64_t i = 0; i < kRecords; ++i) {
    workload.next(record);
    ++seen.kinds[record.kind()];
    newest = std::max(newest, record.time());
    if (record.time() + kMinute - 4 * kNsPerSecond < newest) ++seen.late;
    if (record.kind() == Kind::kProcess) {
      processes.emplace(record.text(Field::kHost), record.uint(Field::kPid), record.uint(Field::kProcessStart));
      continue;
    }
    if (!record.ip(Field::kSrcIp).is_v4()) ++seen.v6;
    seen.last[record.id128(Field::kConn)] = record.kind();
    if (record.uint(Field::kVantage) != static_cast<uint64_t>(Vantage::kSocket)) continue;
    if (!processes.contains({std::string(record.text(Field::kHost)), record.uint(Field::kPid), record.uint(Field::kProcessStart)}))
      ++seen.without_process;
    if (record.uint(Field::kDirection) != static_cast<uint64_t>(Direction::kOut)) continue;
    const std::pair port(record.ip(Field::kSrcIp), record.uint(Field::kSrcPort));
    if (record.kind() == Kind::kOpen) {
      ++seen.outbound_opens;
      const auto [at, is_new] = ports.emplace(port, record.id128(Field::kConn));
      if (!is_new) ++seen.open_ports_doubled;
    } else if (record.kind() == Kind::kClose) {
      ports.erase(port);
    }
  }
  return seen;
}

TEST(Workload, IsTheSameForTheSameSeed) {
  Workload first({.seed = 7});
  Workload second({.seed = 7});
  Workload other({.seed = 8});
  Record record;
  uint64_t differs = 0;
  for (int i = 0; i < 5'000; ++i) {
    const uint32_t host = first.next(record);
    const std::string line = to_json(record);
    ASSERT_EQ(second.next(record), host);
    ASSERT_EQ(to_json(record), line) << i;
    other.next(record);
    if (to_json(record) != line) ++differs;
  }
  EXPECT_GT(differs, 4'900U);
}

TEST(Workload, WritesWhatCaptureWrites) {
  const Seen seen = look({.seed = 3, .connections_per_second = 100});
  for (const Kind kind : {Kind::kOpen, Kind::kClose, Kind::kFailed, Kind::kProcess, Kind::kNatOpen}) {
    EXPECT_GT(seen.kinds.contains(kind) ? seen.kinds.at(kind) : 0, kRecords / 1000)
        << enum_name(Field::kKind, static_cast<uint64_t>(kind));
  }
  EXPECT_EQ(seen.without_process, 0U);  // a process is told before its first socket
  EXPECT_LT(seen.kinds.at(Kind::kProcess), kRecords / 10);
  EXPECT_GT(seen.late, kRecords / 1000);
  EXPECT_LT(seen.late, kRecords / 20);
  EXPECT_EQ(seen.v6, 0U);
  // A port is only taken again after its connection's end, which may be told late or never.
  EXPECT_LT(seen.open_ports_doubled, seen.outbound_opens / 50);
}

TEST(Workload, HasTheShareOfIpv6ThatWasAskedFor) {
  const Seen seen = look({.seed = 3, .ipv6_percent = 30});
  EXPECT_GT(seen.v6, kRecords / 5);
  EXPECT_LT(seen.v6, kRecords * 2 / 5);
}

}  // namespace
}  // namespace portbook
