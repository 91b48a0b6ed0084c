// Who answers the same through index runs, which let it pass over blocks, as when it looks into every block: over random histories
// with ends that come late or never, endpoints used by several at once, leases with and without ids, sockets that were there
// before. And it names who held the endpoint, by the records themselves (who_oracle_test.h).
#include <gtest/gtest.h>

#include "query/who.h"
#include "query/who_oracle_test.h"
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
    while (history_.size() + 20 <= records_.size()) {
      const BlockKeys keys = history_.seal(records_, static_cast<uint32_t>(4 + random() % 16));
      runs.add(history_.blocks.back(), keys);
      if (random() % 2 == 0) ASSERT_TRUE(runs.work().has_value());
    }
    with_ = history_.view(runs.runs());
    without_ = history_.view(nullptr);
  }

  std::string answer(const View& view, const WhoQuestion& question) const {
    Coverage coverage;
    const auto found = who(view, coverage, question, records_.back().time() + 3600 * kNsPerSecond);
    return found ? to_json(*found, 0) : found.error().message;
  }

  std::vector<Record> records_;
  SealedHistory history_;
  View with_;
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
// Against the records themselves: who certainly held the endpoint is named, and nobody who cannot have.
TEST_P(WhoHistory, NamesWhoHeldTheEndpoint) {
  const std::vector<Record> sealed(records_.begin(), records_.begin() + static_cast<ptrdiff_t>(history_.size()));
  const WhoOracle oracle(sealed);
  std::mt19937_64 random(GetParam() + 99);
  size_t named = 0;
  for (int i = 0; i < 300; ++i) {
    WhoQuestion question;
    question.endpoint = {random() % 2 == 0 ? RandomHistory::gateway() : RandomHistory::address(random() % RandomHistory::kHosts),
                         RandomHistory::port(random() % RandomHistory::kPorts)};
    question.at = sealed[random() % sealed.size()].time() + random() % 3 * kNsPerSecond / (1 + random() % 1000);
    question.window_ns = random() % 2 * random() % kNsPerSecond;
    Coverage coverage;
    const auto answer = who(with_, coverage, question, records_.back().time() + 3600 * kNsPerSecond);
    ASSERT_TRUE(answer.has_value());
    std::set<Id128> matching;
    for (const Candidate& one : answer->candidates) {
      if (one.verdict == Candidate::Verdict::kMatches && one.conn && one.relation != Candidate::Relation::kListener)
        matching.insert(*one.conn);
    }
    const std::set<Id128> certain = oracle.certain(question.endpoint, question.at, question.at);
    const std::set<Id128> possible = oracle.possible(question.endpoint, question.at, question.at, *question.window_ns);
    const std::string asked = to_text(question.endpoint) + " at " + format_time(question.at);
    EXPECT_TRUE(std::ranges::includes(matching, certain))
        << asked << ": of " << certain.size() << " that held it not all are named\n"
        << to_json(*answer, 0);
    EXPECT_TRUE(std::ranges::includes(possible, matching)) << asked << ": named is one that cannot have held it\n"
                                                           << to_json(*answer, 0);
    named += certain.size();
  }
  EXPECT_GT(named, 100U);
}
INSTANTIATE_TEST_SUITE_P(Seeds, WhoHistory, testing::Range<uint64_t>(1, 5));

}  // namespace
}  // namespace portbook
