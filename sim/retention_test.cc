// What leaves a book, and what stays true of it: on a disk and with a clock that the test has in hand.
#include <gtest/gtest.h>

#include <algorithm>

#include "book/export.h"
#include "book/ledger.h"
#include "book/prover.h"
#include "book/test_batches.h"
#include "book/verify.h"
#include "merkle/checkpoint.h"
#include "record/cbor.h"
#include "sim/sim_disk.h"
#include "sim/simulation.h"

namespace portbook {
namespace {

constexpr uint64_t kDayNs = 24 * 3600 * kNsPerSecond;

// Days pass when the test says so.
class DayClock final : public Clock {
 public:
  TimeNs now() override { return now_ += 1000; }
  uint64_t boot_ns() override { return now_; }
  void pass(uint64_t ns) { now_ += ns; }

 private:
  TimeNs now_ = 1'795'000'000'000'000'000;
};

class Retention : public testing::Test {
 protected:
  static constexpr uint32_t kBlockRows = 512;

  std::unique_ptr<Ledger> open() {
    LedgerOptions options;
    options.origin = "sim.example.org";
    options.host = "sim";
    options.log_file_bytes = 48 * 1024;
    options.reserve_bytes = 4096;
    options.block_rows = kBlockRows;
    options.keep = keep_;
    options.entropy = [] { return Ed25519Seed{7}; };
    options.clock_state = [] { return ClockState::kSynchronised; };
    auto ledger = Ledger::open(disk_, clock_, std::move(options));
    EXPECT_TRUE(ledger.has_value()) << (ledger ? "" : ledger.error().message);
    return ledger ? std::move(*ledger) : nullptr;
  }

  // Records of the clock's time; remembers their bytes and the checkpoint.
  void commit(Ledger& ledger, uint32_t records) {
    Batch batch{"sim/socket", ledger.last_seq("sim/socket") + 1, records, {}};
    Record record;
    for (uint32_t i = 0; i < records; ++i) {
      record.clear();
      record.set(Field::kKind, Kind::kNote);
      record.set(Field::kTime, clock_.now());
      record.set(Field::kSource, "sim/socket");
      record.set(Field::kSourceSeq, batch.seq_first + i);
      record.set(Field::kSrcIp, Field::kSrcPort, {Ip::v4(0x0a000001 + i % 5), static_cast<uint16_t>(1000 + i % 7)});
      encode(record, batch.bytes);
    }
    const std::vector<CheckedBatch> batches = {*check_batch(std::move(batch))};
    ASSERT_TRUE(ledger.commit(batches).front().has_value());
    remember(ledger);
  }
  void remember(Ledger& ledger) {
    const auto [view, checkpoint] = ledger.published();
    checkpoints_.push_back(checkpoint);
    ledger.note_handed_out(view.size());
    Record record;
    for (uint64_t index = bytes_.size(); index < view.size(); ++index) {
      ASSERT_TRUE(view.read(index, record).has_value());
      encode(record, bytes_.emplace_back());
    }
  }

  // What the sealing thread does, until nothing is left to be done.
  static void settle(Ledger& ledger) {
    for (bool more = true; more;) {
      const auto sealed = ledger.seal_next();
      ASSERT_TRUE(sealed.has_value()) << sealed.error().message;
      const auto kept = ledger.keep_next();
      ASSERT_TRUE(kept.has_value()) << kept.error().message;
      more = *sealed || *kept || ledger.has_own_waiting() || ledger.short_block_due();
      ledger.commit({});
    }
  }

  std::vector<uint64_t> segments() {
    std::vector<uint64_t> found;
    for (const std::string& name : *disk_.list()) {
      if (const auto first = segment_first_index(name)) found.push_back(*first);
    }
    return found;
  }

  VerifyReport verify(VerifyOptions options = {}) {
    auto report = verify_disk(disk_, false, options);
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
    return report ? *report : VerifyReport{};
  }

  // Three days of a thousand records each; nothing was removed yet.
  void three_days(Ledger& ledger) {
    for (int day = 0; day < 3; ++day) {
      for (int i = 0; i < 10; ++i) commit(ledger, 103);
      settle(ledger);
      clock_.pass(kDayNs);
    }
  }

  SimDisk disk_{1};
  DayClock clock_;
  Keep keep_;
  std::vector<std::string> checkpoints_;
  std::vector<Bytes> bytes_;  // of every record there ever was
};

// The records that are still there are the very ones, all of them; an oracle of look-ups in a cut book.
void expect_the_rest(const View& view, const std::vector<Bytes>& all) {
  Record record;
  std::map<RowKey, std::vector<uint64_t>> plain;
  for (uint64_t index = view.first_index(); index < all.size(); ++index) {
    ASSERT_TRUE(view.read(index, record).has_value()) << index;
    Bytes bytes;
    encode(record, bytes);
    ASSERT_EQ(bytes, all[index]) << index;
    if (record.has(Field::kSrcPort)) plain[endpoint_key(*record.endpoint(Field::kSrcIp, Field::kSrcPort))].push_back(index);
  }
  ASSERT_FALSE(plain.empty());
  for (auto& [key, indices] : plain) {
    std::vector<uint64_t> found;
    const auto status = view.for_each_with(key, [&, wanted = key](uint64_t index, const Record& one) {
      if (index < all.size() && one.has(Field::kSrcPort) && endpoint_key(*one.endpoint(Field::kSrcIp, Field::kSrcPort)) == wanted)
        found.push_back(index);
      return true;
    });
    ASSERT_TRUE(status.has_value()) << status.error().message;
    std::ranges::reverse(found);
    EXPECT_EQ(found, indices);
  }
}

void expect_connected(const Ledger& ledger, const std::vector<std::string>& checkpoints) {
  const auto [view, newest] = ledger.published();
  const TreeHead head = open_checkpoint(newest, ledger.verifier())->head;
  LedgerNodes nodes(ledger, view);
  for (const std::string& note : checkpoints) {
    const TreeHead old = open_checkpoint(note, ledger.verifier())->head;
    const auto proof = consistency_proof(nodes, old.size, head.size);
    ASSERT_TRUE(proof.has_value()) << old.size << ": " << proof.error().message;
    EXPECT_TRUE(verify_consistency(old, head, *proof).has_value()) << old.size;
  }
}

TEST_F(Retention, WithoutALimitEverythingStays) {
  auto ledger = open();
  three_days(*ledger);
  clock_.pass(1000 * kDayNs);
  settle(*ledger);
  EXPECT_EQ(ledger->published().view.first_index(), 0U);
  EXPECT_EQ(ledger->published().view.dropped(), nullptr);
  EXPECT_EQ(verify().first_kept, 0U);
}

TEST_F(Retention, OldBlocksGoAndTheRestStaysProvable) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  three_days(*ledger);
  settle(*ledger);
  const View view = ledger->published().view;
  // The first two days' records are more than two days old, but for those in the block that also has the third day's.
  ASSERT_GT(view.first_index(), 1500U);
  ASSERT_LE(view.first_index(), 2080U);
  ASSERT_NE(view.dropped(), nullptr);
  EXPECT_EQ(view.dropped()->below, view.first_index());
  EXPECT_EQ(segments().front(), view.first_index());
  expect_the_rest(view, bytes_);
  expect_connected(*ledger, checkpoints_);

  Record record;
  EXPECT_EQ(view.read(10, record).error().message, "record 10 is no longer kept");
  LedgerNodes nodes(*ledger, view);
  EXPECT_EQ(nodes.node(0, 3).error().code, ErrorCode::kNotFound);
  const TreeHead head = open_checkpoint(ledger->published().checkpoint, ledger->verifier())->head;
  for (uint64_t index = view.first_index(); index < bytes_.size(); index += 37) {
    const auto proof = inclusion_proof(nodes, index, head.size);
    ASSERT_TRUE(proof.has_value()) << proof.error().message;
    EXPECT_TRUE(verify_inclusion(leaf_hash(bytes_[index]), index, head, *proof).has_value());
  }

  const VerifyReport report = verify();
  EXPECT_FALSE(report.problem.has_value()) << report.problem->sentence;
  EXPECT_EQ(report.first_kept, view.first_index());
  EXPECT_EQ(report.records_checked, report.size - report.first_kept);
}

TEST_F(Retention, ARemovalIsARecordOfTheBook) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  three_days(*ledger);
  settle(*ledger);
  const View view = ledger->published().view;
  std::vector<std::string> said;
  ASSERT_TRUE(view.for_each_with(kind_key(Kind::kAdmin),
                                 [&](uint64_t, const Record& record) {
                                   if (record.kind() == Kind::kAdmin && record.text_or(Field::kAction, "") == kRemovalAction)
                                     said.emplace_back(record.text(Field::kMessage));
                                   return true;
                                 })
                  .has_value());
  ASSERT_EQ(said.size(), 2U);
  EXPECT_TRUE(said[1].starts_with("Records 0 to ")) << said[1];
  EXPECT_NE(said[0].find("the book keeps 2 days"), std::string::npos) << said[0];
  EXPECT_NE(said[0].find(hex(read_kept_file(disk_)->hash)), std::string::npos) << said[0];
}

TEST_F(Retention, AfterARestartNothingIsDifferent) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  three_days(*ledger);
  settle(*ledger);
  const uint64_t first = ledger->published().view.first_index();
  ledger = nullptr;
  ledger = open();
  ASSERT_FALSE(ledger->read_only_reason().has_value()) << *ledger->read_only_reason();
  EXPECT_TRUE(ledger->recovery_report().empty()) << ledger->recovery_report();
  EXPECT_EQ(ledger->published().view.first_index(), first);
  expect_the_rest(ledger->published().view, bytes_);
  expect_connected(*ledger, checkpoints_);
  commit(*ledger, 600);
  settle(*ledger);
  EXPECT_FALSE(verify().problem.has_value());
}

TEST_F(Retention, EvenWhenNoSealedBlockIsLeft) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  three_days(*ledger);
  clock_.pass(10 * kDayNs);
  settle(*ledger);
  EXPECT_TRUE(segments().empty());
  ledger = nullptr;
  ledger = open();
  ASSERT_FALSE(ledger->read_only_reason().has_value()) << *ledger->read_only_reason();
  expect_connected(*ledger, checkpoints_);
  commit(*ledger, 600);
  settle(*ledger);
  const VerifyReport report = verify();
  EXPECT_FALSE(report.problem.has_value()) << report.problem->sentence;
}

TEST_F(Retention, BySizeTheOldestGoFirst) {
  auto ledger = open();
  three_days(*ledger);
  settle(*ledger);
  uint64_t bytes = 0;
  for (const uint64_t first : segments()) bytes += *(*disk_.open_to_read(segment_file_name(first)))->size();
  const std::vector<uint64_t> before = segments();
  ledger = nullptr;
  keep_.bytes = bytes / 2;
  ledger = open();
  settle(*ledger);
  const std::vector<uint64_t> after = segments();
  ASSERT_FALSE(after.empty());
  ASSERT_LT(after.size(), before.size());
  EXPECT_TRUE(std::ranges::equal(after, std::span(before).last(after.size())));
  uint64_t left = 0;
  for (const uint64_t first : after) left += *(*disk_.open_to_read(segment_file_name(first)))->size();
  EXPECT_LE(left, keep_.bytes);
  expect_the_rest(ledger->published().view, bytes_);
}

TEST_F(Retention, ARecordFromTheFutureDoesNotHoldItsBlock) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  Record record;
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kTime, clock_.now() + 1000 * kDayNs);
  record.set(Field::kSource, "sim/odd");
  record.set(Field::kSourceSeq, uint64_t{1});
  Batch batch{"sim/odd", 1, 1, {}};
  encode(record, batch.bytes);
  const std::vector<CheckedBatch> batches = {*check_batch(std::move(batch))};
  ASSERT_TRUE(ledger->commit(batches).front().has_value());
  three_days(*ledger);
  settle(*ledger);
  EXPECT_GT(ledger->published().view.first_index(), 0U);
  EXPECT_LE(ledger->kept()->until, clock_.now());
}

// Whatever time a record says, its block stays as long as the others do.
TEST_F(Retention, ATimeAtTheEndOfTimeRemovesNothing) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  Record record;
  record.set(Field::kKind, Kind::kNote);
  record.set(Field::kTime, UINT64_MAX);
  record.set(Field::kSource, "sim/odd");
  record.set(Field::kSourceSeq, uint64_t{1});
  Batch batch{"sim/odd", 1, 1, {}};
  encode(record, batch.bytes);
  const std::vector<CheckedBatch> batches = {*check_batch(std::move(batch))};
  ASSERT_TRUE(ledger->commit(batches).front().has_value());
  for (int i = 0; i < 10; ++i) commit(*ledger, 103);
  settle(*ledger);
  EXPECT_FALSE(segments().empty());
  EXPECT_EQ(ledger->published().view.first_index(), 0U);
}

TEST_F(Retention, WhoReadsGoesOnReading) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  for (int day = 0; day < 3; ++day) {
    for (int i = 0; i < 10; ++i) commit(*ledger, 103);
    while (*ledger->seal_next()) {
    }
    clock_.pass(kDayNs);
  }
  const View before = ledger->published().view;
  ASSERT_EQ(before.first_index(), 0U);
  clock_.pass(10 * kDayNs);
  settle(*ledger);
  ASSERT_GT(ledger->published().view.first_index(), 0U);
  ASSERT_TRUE(segments().empty());
  expect_the_rest(before, bytes_);  // rows one by one, indexes
  for (const BlockRef& ref : before.blocks()) {
    const auto columns = ref.block->columns(kEveryField);
    ASSERT_TRUE(columns.has_value()) << columns.error().message;
  }
}

TEST_F(Retention, AQuietHostsBlockIsSealedShortAfterADay) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  commit(*ledger, 300);
  settle(*ledger);
  const View early = ledger->published().view;
  EXPECT_TRUE(segments().empty());
  clock_.pass(kDayNs);
  settle(*ledger);
  ASSERT_EQ(segments(), std::vector<uint64_t>{0});
  const View view = ledger->published().view;
  ASSERT_EQ(view.blocks().size(), 2U);
  EXPECT_EQ(view.blocks()[0].rows, 256U);
  EXPECT_EQ(view.blocks()[1].block->first_index(), 256U);
  remember(*ledger);
  expect_the_rest(view, bytes_);
  expect_the_rest(early, {bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(early.size())});
  commit(*ledger, 40);
  expect_the_rest(ledger->published().view, bytes_);
  clock_.pass(2 * kDayNs);
  settle(*ledger);
  EXPECT_EQ(ledger->published().view.first_index(), 256U) << "what is older than two days went";
  EXPECT_FALSE(verify().problem.has_value());
  ledger = nullptr;
  ledger = open();
  expect_the_rest(ledger->published().view, bytes_);
  expect_connected(*ledger, checkpoints_);
}

TEST_F(Retention, AnOlderCheckpointVerifies) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  three_days(*ledger);
  settle(*ledger);
  ASSERT_GT(ledger->published().view.first_index(), 0U);
  const auto other = make_ed25519_signer("sim.example.org", Ed25519Seed{7});
  ledger = nullptr;
  for (const std::string& checkpoint : checkpoints_) {
    VerifyOptions options;
    options.older_checkpoint = checkpoint;
    const VerifyReport report = verify(options);
    EXPECT_FALSE(report.problem.has_value()) << report.problem->sentence;
  }
  // Of that size, but another tree; and of a size that nobody was given.
  for (const uint64_t size : {open_checkpoint(checkpoints_[0], make_verifier(*other))->head.size, uint64_t{3}}) {
    VerifyOptions options;
    options.older_checkpoint = *sign_checkpoint({size, Hash{1}}, *other);
    const VerifyReport report = verify(options);
    ASSERT_TRUE(report.problem.has_value()) << size;
    EXPECT_NE(report.problem->sentence.find("older checkpoint"), std::string::npos) << report.problem->sentence;
  }
}

// The place of what somebody changed in `kept`, also with the checksum made right.
TEST_F(Retention, AnyChangeOfWhatIsKeptIsFound) {
  keep_.age_ns = 2 * kDayNs;
  auto ledger = open();
  three_days(*ledger);
  settle(*ledger);
  ledger = nullptr;
  const Bytes right = *read_file(disk_, kKeptFileName, kKeptBytesMax);
  for (size_t at = 0; at < right.size(); at += 1 + at % 3) {
    Bytes wrong = right;
    wrong[at] ^= 1;
    ASSERT_TRUE(write_file(disk_, kKeptFileName, wrong).has_value());
    const auto report = verify_disk(disk_, false, {});
    ASSERT_TRUE(!report || report->problem) << at;
  }
  const Kept kept = *parse_kept(right);
  const auto expect_found = [&](const Kept& changed) {
    ASSERT_TRUE(write_file(disk_, kKeptFileName, encode_kept(changed)).has_value());
    const VerifyReport report = verify();
    ASSERT_TRUE(report.problem.has_value());
  };
  Kept changed = kept;
  changed.until += 1;
  expect_found(changed);
  changed = kept;
  changed.seqs.emplace("sim/nobody", 4);
  expect_found(changed);
  changed = kept;
  changed.cut_groups.pop_back();
  expect_found(changed);
  changed = kept;
  changed.cut_groups.clear();
  changed.groups[0][0] ^= 1;
  expect_found(changed);
  ASSERT_TRUE(disk_.remove(kKeptFileName).has_value());
  EXPECT_TRUE(verify().problem.has_value());
  ASSERT_TRUE(write_file(disk_, kKeptFileName, right).has_value());
  EXPECT_FALSE(verify().problem.has_value());
}

// Somebody who removes blocks and writes what stands for them himself is found: the book never said so.
TEST_F(Retention, ARemovalThatTheBookDidNotRecordIsFound) {
  auto ledger = open();
  three_days(*ledger);
  ledger = nullptr;
  const auto file = disk_.open_to_read(segment_file_name(0));
  const SegmentFooter footer = *read_segment_footer(**file);
  ASSERT_TRUE(
      write_file(disk_, kKeptFileName, encode_kept({footer.rows, footer.time_max, footer.groups, {}, footer.seqs})).has_value());
  ASSERT_TRUE(disk_.remove(segment_file_name(0)).has_value());
  const VerifyReport report = verify();
  ASSERT_TRUE(report.problem.has_value());
  EXPECT_EQ(report.problem->file, kKeptFileName);
  EXPECT_NE(report.problem->sentence.find("no record of the book says"), std::string::npos) << report.problem->sentence;
}

TEST_F(Retention, APowerCutAtAnyStepHarmsNothing) {
  keep_.age_ns = 2 * kDayNs;
  for (uint64_t step = 1;; ++step) {
    SCOPED_TRACE(step);
    disk_ = SimDisk(step);
    clock_ = {};
    checkpoints_.clear();
    bytes_.clear();
    auto ledger = open();
    three_days(*ledger);
    clock_.pass(kDayNs);
    ASSERT_TRUE(ledger->keep_next().has_value());  // what was handed out stands on the disk
    disk_.cut_power_in(step);
    for (int i = 0; i < 40 && !disk_.power_is_off(); ++i) {
      static_cast<void>(ledger->keep_next());
      ledger->commit({});
    }
    const bool cut = disk_.power_is_off();
    ledger = nullptr;
    disk_.restart();
    ledger = open();
    ASSERT_FALSE(ledger->read_only_reason().has_value()) << *ledger->read_only_reason();
    const uint64_t first = ledger->published().view.first_index();
    EXPECT_TRUE(segments().empty() || segments().front() == first);
    expect_connected(*ledger, checkpoints_);
    settle(*ledger);
    EXPECT_GT(ledger->published().view.first_index(), 1500U) << "in the end it is done";
    ledger = nullptr;
    const VerifyReport report = verify();
    ASSERT_FALSE(report.problem.has_value()) << report.problem->sentence;
    if (!cut) break;
  }
}

TEST(Kept, EverySizeOfAGroupCanBeCutOut) {
  std::vector<Hash> leaves;
  CompactRange group;
  for (uint32_t i = 0; i < kGroupLeaves; ++i) {
    leaves.push_back(leaf_hash(Bytes{static_cast<Byte>(i)}));
    group.append(leaves.back());
  }
  for (uint32_t size = 1; size < kGroupLeaves; ++size) {
    const uint32_t other = 1 + size * 7 % 255;
    std::vector<uint8_t> sizes{static_cast<uint8_t>(std::min(size, other))};
    if (size != other) sizes.push_back(static_cast<uint8_t>(std::max(size, other)));
    const KeptGroup cut = cut_group(0, sizes, leaves);
    EXPECT_LE(cut.hashes.size(), 9 * sizes.size());
    ASSERT_EQ(hash_of(cut), group.root());
    const Kept kept{kGroupLeaves, 0, {group.root()}, {cut}, {}};
    CompactRange range;
    for (uint32_t i = 0; i < size; ++i) range.append(leaves[i]);
    EXPECT_EQ(kept.root_at(size), range.root()) << size;
    EXPECT_EQ(*parse_kept(encode_kept(kept)), kept);
  }
}

}  // namespace
}  // namespace portbook
