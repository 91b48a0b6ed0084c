#include "query/joins.h"

#include <gtest/gtest.h>

#include "query/plain_view_test.h"

namespace portbook {
namespace {

constexpr uint16_t kFirstPort = 1000;

// A connection of the port, or the lease of one.
Record record_of(Kind kind, uint16_t port) {
  Record record;
  record.set(Field::kKind, kind);
  record.set(Field::kTime, 1000 + port);
  record.set(Field::kProto, Proto::kTcp);
  record.set(Field::kSrcIp, Field::kSrcPort, {Ip::v4(0x0a000001), port});
  record.set(Field::kDstIp, Field::kDstPort, {Ip::v4(0x0a000002), 443});
  return record;
}

std::vector<Record> connections(size_t count) {
  std::vector<Record> records;
  for (size_t i = 0; i < count; ++i) records.push_back(record_of(Kind::kOpen, static_cast<uint16_t>(kFirstPort + i)));
  return records;
}

// Among connections of which one alone has a lease it is found, however many were looked up before without one.
TEST(Joins, FindALeaseAfterManyConnectionsWithout) {
  for (const Kind kind : {Kind::kNatOpen, Kind::kExisting}) {
    std::vector<Record> records = connections(4 * Joins::kSinglyMin);
    Record lease = record_of(kind, kFirstPort);
    lease.set(Field::kVantage, Vantage::kNat);
    lease.set(Field::kSrcNatIp, Field::kSrcNatPort, {Ip::v4(0xcb007101), 4001});
    records.push_back(lease);
    Joins joins(view_of(records));
    for (size_t i = records.size() - 1; i-- > 1;) EXPECT_FALSE(joins.translation_of(records[i]).has_value());
    EXPECT_TRUE(joins.may_have_leases({Ip::v4(0x0a000001), kFirstPort}));
    EXPECT_FALSE(joins.may_have_leases({Ip::v4(0x0a000001), kFirstPort + 1}));
    const auto found = joins.translation_of(records[0]);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->external->port, 4001);
  }
}

TEST(Joins, KnowInTheEndThatABookHasNoLeases) {
  std::vector<Record> records = connections(4 * Joins::kSinglyMin);
  records.front().set(Field::kKind, Kind::kExisting);  // of a socket
  records.front().set(Field::kVantage, Vantage::kSocket);
  Joins joins(view_of(records));
  EXPECT_TRUE(joins.may_have_leases({Ip::v4(0x0a000001), kFirstPort}));  // not known yet
  for (const Record& one : records) EXPECT_FALSE(joins.translation_of(one).has_value());
  EXPECT_FALSE(joins.may_have_leases({Ip::v4(0x0a000001), kFirstPort}));
  EXPECT_TRUE(joins.status().has_value());
}

}  // namespace
}  // namespace portbook
