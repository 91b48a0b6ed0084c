// Who answers the same through index runs, which let it pass over blocks, as when it looks into every block: over random histories
// with ends that come late or never, endpoints used by several at once, leases with and without ids, sockets that were there
// before. And it names who held the endpoint, by the records themselves (who_oracle_test.h).
#include <gtest/gtest.h>

#include "query/plain_view_test.h"
#include "query/who.h"
#include "query/who_oracle_test.h"
#include "store/open_block.h"
#include "store/sealed_history_test.h"

namespace portbook {
namespace {

class WhoHistory : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    std::mt19937_64 random(GetParam());
    records_ = RandomHistory(GetParam()).records(150 + GetParam() % 3 * 100, 20 + GetParam() * 60);
    IndexRuns runs(history_.disk(), 2 + GetParam() % 3);
    ASSERT_TRUE(runs.open({}).has_value());
    while (history_.size() + 60 <= records_.size()) {
      const BlockKeys keys = history_.seal(records_, static_cast<uint32_t>(4 + random() % 16));
      runs.add(history_.blocks.back(), keys);
      if (random() % 2 == 0) ASSERT_TRUE(runs.work().has_value());
    }
    with_ = history_.view(runs.runs());
    with_open_ = with_open_block(runs.runs());
    without_ = history_.view(nullptr);
  }

  // The sealed blocks, and the records behind them in the open one.
  View with_open_block(std::shared_ptr<const RunList> runs) const {
    std::vector<BlockRef> refs;
    for (const auto& block : history_.blocks) refs.push_back({block, block->footer().rows});
    const auto rest = static_cast<uint32_t>(records_.size() - history_.size());
    auto open = std::make_shared<OpenBlock>(history_.size(), kBlockRowsMax);
    for (uint64_t i = history_.size(); i < records_.size(); ++i) open->append(records_[i]);
    open->publish();
    refs.push_back({open, rest});
    return {records_.size(), std::move(refs), std::move(runs)};
  }

  std::string answer(const View& view, const WhoQuestion& question) const {
    Coverage coverage;
    const auto found = who(view, coverage, question, records_.back().time() + 3600 * kNsPerSecond);
    return found ? to_json(*found, 0) : found.error().message;
  }

  std::vector<Record> records_;
  SealedHistory history_;
  View with_;
  View with_open_;
  View without_;
};

TEST_P(WhoHistory, IsAnsweredAsByLookingIntoEveryBlock) {
  std::mt19937_64 random(GetParam());
  size_t found = 0;
  size_t looked_into = 0;
  for (int i = 0; i < 100; ++i) {
    WhoQuestion question;
    question.endpoint = {random() % 3 == 0 ? RandomHistory::gateway() : RandomHistory::address(random() % RandomHistory::kHosts),
                         RandomHistory::port(random() % RandomHistory::kPorts)};
    const Record& near = records_[random() % records_.size()];
    question.at = near.time() + random() % 5 * kNsPerSecond / (1 + random() % 1000);
    if (random() % 4 == 0) question.precision_ns = kNsPerSecond;
    if (random() % 6 == 0) question.peer = Endpoint{RandomHistory::address(random() % RandomHistory::kHosts), 0};
    if (random() % 6 == 0) question.host = "web-1";
    if (random() % 6 == 0) question.window_ns = random() % (10 * kNsPerSecond);
    const std::string expected = answer(without_, question);
    ASSERT_EQ(answer(with_, question), expected) << to_text(question.endpoint) << " at " << format_time(question.at);
    found += expected.find("\"matches\"") != std::string::npos ? 1 : 0;
    looked_into += with_.blocks_with(endpoint_key(question.endpoint), {.from = question.at, .to = question.at}).size();
  }
  EXPECT_GT(found, 10U);
  EXPECT_LT(looked_into, 100 * history_.blocks.size() * 4 / 5) << "nothing was passed over";
}
// Against the records themselves, some of which are in the open block: who certainly held the endpoint is named, and nobody who
// cannot have, also where a host or a peer narrows the question.
TEST_P(WhoHistory, NamesWhoHeldTheEndpoint) {
  const WhoOracle oracle(records_);
  std::mt19937_64 random(GetParam() + 99);
  size_t named = 0;
  size_t narrowly_named = 0;
  for (int i = 0; i < 400; ++i) {
    WhoQuestion question;
    question.endpoint = {random() % 2 == 0 ? RandomHistory::gateway() : RandomHistory::address(random() % RandomHistory::kHosts),
                         RandomHistory::port(random() % RandomHistory::kPorts)};
    question.at = records_[random() % records_.size()].time() + random() % 3 * kNsPerSecond / (1 + random() % 1000);
    question.window_ns = random() % 2 * random() % kNsPerSecond;
    WhoOracle::Narrowed narrowed;
    if (random() % 4 == 0) narrowed.host = "web-" + std::to_string(random() % RandomHistory::kHosts);
    if (random() % 4 == 0) narrowed.peer = RandomHistory::address(random() % RandomHistory::kHosts);
    question.host = narrowed.host;
    if (narrowed.peer) question.peer = Endpoint{*narrowed.peer, 0};
    Coverage coverage;
    const auto answer = who(with_open_, coverage, question, records_.back().time() + 3600 * kNsPerSecond);
    ASSERT_TRUE(answer.has_value());
    std::set<Id128> matching;
    for (const Candidate& one : answer->candidates) {
      if (one.verdict == Candidate::Verdict::kMatches && one.conn && one.relation != Candidate::Relation::kListener)
        matching.insert(*one.conn);
    }
    const std::set<Id128> certain =
        oracle.about(narrowed, question.endpoint, oracle.certain(question.endpoint, question.at, question.at));
    const std::set<Id128> possible = oracle.about(
        narrowed, question.endpoint, oracle.possible(question.endpoint, question.at, question.at, *question.window_ns));
    const std::string asked = to_text(question.endpoint) + " at " + format_time(question.at) + " host " + narrowed.host + " peer " +
                              (narrowed.peer ? to_text(*narrowed.peer) : "");
    EXPECT_TRUE(std::ranges::includes(matching, certain))
        << asked << ": of " << certain.size() << " that held it not all are named\n"
        << to_json(*answer, 0);
    EXPECT_TRUE(std::ranges::includes(possible, matching)) << asked << ": named is one that cannot have held it\n"
                                                           << to_json(*answer, 0);
    named += certain.size();
    if (!narrowed.host.empty() || narrowed.peer) narrowly_named += certain.size();
  }
  EXPECT_GT(named, 100U);
  EXPECT_GT(narrowly_named, 10U);
}

// Two sockets had the same ends at once, as in two namespaces, and one lease of them is recorded. The one that says itself that it
// was so translated is not taken out by the end of a lease that may be the other's; alone it would be.
TEST(Who, ALeaseThatMayBeAnothersTakesNothingFromWhoSaysItself) {
  constexpr TimeNs kBegin = RandomHistory::kBegin;
  const Endpoint external{RandomHistory::gateway(), 41'000};
  const auto socket = [&](Byte cookie, uint64_t from, uint64_t to) {
    Record one;
    one.set(Field::kKind, Kind::kClose);
    one.set(Field::kVantage, Vantage::kSocket);
    one.set(Field::kHost, "web-0");
    one.set(Field::kDirection, Direction::kOut);
    one.set(Field::kSrcIp, Field::kSrcPort, {RandomHistory::address(0), 40'000});
    one.set(Field::kDstIp, Field::kDstPort, {RandomHistory::address(1), 443});
    one.set(Field::kSrcNatIp, Field::kSrcNatPort, external);
    Id128 conn{};
    conn[15] = cookie;
    one.set(Field::kConn, conn);
    one.set(Field::kStart, kBegin + from * kNsPerSecond);
    one.set(Field::kEnd, kBegin + to * kNsPerSecond);
    one.set(Field::kTime, kBegin + to * kNsPerSecond);
    return one;
  };
  Record lease = socket(9, 10, 20);
  lease.set(Field::kKind, Kind::kNatClose);
  lease.set(Field::kVantage, Vantage::kNat);
  WhoQuestion question;
  question.endpoint = external;
  question.at = kBegin + 25 * kNsPerSecond;
  const auto verdicts = [&](const std::vector<Record>& records) {
    Coverage coverage;
    const auto answer = who(view_of(records), coverage, question, kBegin + 3600 * kNsPerSecond);
    EXPECT_TRUE(answer.has_value());
    std::vector<std::pair<Byte, bool>> found;
    for (const Candidate& one : answer->candidates)
      found.emplace_back((*one.conn)[15], one.verdict == Candidate::Verdict::kMatches);
    return found;
  };
  using Expected = std::vector<std::pair<Byte, bool>>;
  EXPECT_EQ(verdicts({socket(1, 10, 19), lease, socket(2, 15, 30)}), (Expected{{2, true}}));
  EXPECT_EQ(verdicts({lease, socket(2, 15, 30)}), (Expected{{2, false}})) << "the lease is its own";
}

INSTANTIATE_TEST_SUITE_P(Seeds, WhoHistory, testing::Range<uint64_t>(1, 5));

}  // namespace
}  // namespace portbook
