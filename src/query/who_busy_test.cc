// Who at an endpoint that very many connections name: what is shown was there at the moment, the answer says that there is more,
// and a peer that is asked for is found among them however many they are.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "query/plain_view_test.h"
#include "query/who.h"
#include "query/who_oracle_test.h"
#include "record/random_history.h"
#include "store/sealed_history_test.h"

namespace portbook {
namespace {

constexpr TimeNs kBegin = RandomHistory::kBegin;
constexpr uint64_t kConnections = 2'000;

class WhoBusy : public testing::TestWithParam<bool> {
 protected:
  // Connections to one server, one a second, each as an open and a close; `lasting_s` says how long each lasts.
  void fill(auto lasting_s) {
    std::multimap<TimeNs, Record> told;
    for (uint64_t i = 0; i < kConnections; ++i) {
      Record one;
      one.set(Field::kKind, Kind::kOpen);
      one.set(Field::kVantage, Vantage::kSocket);
      one.set(Field::kHost, "web-0");
      one.set(Field::kDirection, Direction::kIn);
      one.set(Field::kSrcIp, Field::kSrcPort, client(i));
      one.set(Field::kDstIp, Field::kDstPort, server());
      Id128 conn{};
      conn[14] = static_cast<Byte>(i >> 8);
      conn[15] = static_cast<Byte>(i);
      one.set(Field::kConn, conn);
      const TimeNs start = kBegin + i * kNsPerSecond;
      one.set(Field::kTime, start);
      told.emplace(start, one);
      const uint64_t lasting = lasting_s(i);
      if (lasting == 0) continue;  // its end is never told
      one.set(Field::kKind, Kind::kClose);
      one.set(Field::kStart, start);
      one.set(Field::kEnd, start + lasting * kNsPerSecond);
      one.set(Field::kTime, start + lasting * kNsPerSecond);
      told.emplace(one.time(), one);
    }
    for (auto& [time, record] : told) {
      record.set(Field::kSource, "web-0/socket");
      record.set(Field::kSourceSeq, records_.size() + 1);
      records_.push_back(std::move(record));
    }
    IndexRuns runs(history_.disk(), 4);
    ASSERT_TRUE(runs.open({}).has_value());
    while (history_.size() + 256 <= records_.size()) {
      const BlockKeys keys = history_.seal(records_, 256);
      runs.add(history_.blocks.back(), keys);
      ASSERT_TRUE(runs.work().has_value());
    }
    records_.resize(history_.size());
    view_ = history_.view(GetParam() ? runs.runs() : nullptr);
  }
  static Endpoint server() { return {RandomHistory::address(0), 443}; }
  static Endpoint client(uint64_t i) {
    return {Ip::v4(0x0A09'0000 + static_cast<uint32_t>(i % 7)), static_cast<uint16_t>(40'000 + i)};
  }

  WhoAnswer ask(TimeNs at, const std::optional<Endpoint>& peer = std::nullopt) {
    WhoQuestion question;
    question.endpoint = server();
    question.at = at;
    question.peer = peer;
    question.window_ns = 0;
    Coverage coverage;
    auto answer = who(view_, coverage, question, records_.back().time() + 3600 * kNsPerSecond);
    EXPECT_TRUE(answer.has_value());
    return answer ? *answer : WhoAnswer();
  }
  static std::set<Id128> matching(const WhoAnswer& answer) {
    std::set<Id128> found;
    for (const Candidate& one : answer.candidates) {
      if (one.verdict == Candidate::Verdict::kMatches) found.insert(*one.conn);
    }
    return found;
  }

  std::vector<Record> records_;
  SealedHistory history_;
  View view_;
};

TEST_P(WhoBusy, NamesAsManyAsItMayAndAllOfThemWereThere) {
  fill([](uint64_t i) { return i % 3 == 0 ? 0 : i % 400; });  // hundreds are open at once
  const WhoOracle oracle(records_);
  for (uint64_t second = 900; second < 1'500; second += 97) {
    const TimeNs at = kBegin + second * kNsPerSecond + 7;
    const std::set<Id128> held = oracle.certain(server(), at, at);
    ASSERT_GT(held.size(), kWhoCandidatesMax);
    const std::set<Id128> found = matching(ask(at));
    EXPECT_EQ(found.size(), kWhoCandidatesMax) << second;
    EXPECT_TRUE(std::ranges::includes(held, found)) << second << ": named is one that did not hold it";
  }
}

TEST_P(WhoBusy, NamesAllWhereTheyAreNotTooMany) {
  fill([](uint64_t i) { return i % 50 == 0 ? (i % 100 == 0 ? 1'500 : 0) : 1 + i % 5; });
  const WhoOracle oracle(records_);
  for (uint64_t second = 100; second < 1'900; second += 61) {
    const TimeNs at = kBegin + second * kNsPerSecond + 7;
    const std::set<Id128> held = oracle.certain(server(), at, at);
    ASSERT_LT(held.size(), kWhoCandidatesMax);
    EXPECT_EQ(matching(ask(at)), held) << second;
  }
}

TEST_P(WhoBusy, FindsThePeerAmongHowEverMany) {
  fill([](uint64_t i) { return i % 3 == 0 ? 0 : 100 + i % 400; });
  const WhoOracle oracle(records_);
  for (uint64_t i = 3; i < 1'400; i += 41) {
    for (const uint64_t later : {1, 90, 550}) {
      const TimeNs at = kBegin + (i + later) * kNsPerSecond;
      std::set<Id128> held = oracle.certain(server(), at, at);
      std::erase_if(held,
                    [&](const Id128& conn) { return conn[14] != static_cast<Byte>(i >> 8) || conn[15] != static_cast<Byte>(i); });
      EXPECT_EQ(matching(ask(at, client(i))), held) << "connection " << i << ", " << later << " s after its start";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Runs, WhoBusy, testing::Bool());

}  // namespace
}  // namespace portbook
