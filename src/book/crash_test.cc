// The real program on the real disk: killed a hundred times under load, and on a disk that runs full.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <random>

#include "book/local_book.h"
#include "book/test_batches.h"
#include "book/verify.h"
#include "record/cbor.h"

namespace portbook {
namespace {

constexpr std::string_view kSources[] = {"web-7/socket", "web-7/nat"};

BookOptions options(const std::filesystem::path& folder) {
  return {
      .folder = folder, .origin = "book.example.org/web-7", .host = "web-7", .log_file_bytes = 1 << 19, .reserve_bytes = 1 << 16};
}

// The one record that a source has at a place in its sequence, so that an invented one is known.
void make_record(std::string_view source, uint64_t seq, Record& record) {
  record.clear();
  record.set(Field::kKind, seq % 5 == 0 ? Kind::kNote : Kind::kOpen);
  record.set(Field::kTime, 1'795'000'000'000'000'000 + seq * 1000);
  record.set(Field::kSource, source);
  record.set(Field::kSourceSeq, seq);
  record.set(Field::kMessage, std::string_view(std::string(20 + seq * 7919 % 60, static_cast<char>('a' + seq % 26))));
}

Batch make_batch(std::string_view source, uint64_t first, uint32_t count) {
  Batch batch{std::string(source), first, count, {}};
  Record record;
  for (uint64_t seq = first; seq < first + count; ++seq) {
    make_record(source, seq, record);
    encode(record, batch.bytes);
  }
  return batch;
}

// What the child says on the pipe for each acknowledged batch.
struct Acknowledged {
  uint32_t source;
  uint32_t count;
  uint64_t first_index;
  uint64_t last_seq;
};

// Appends until it is killed, several batches under way at a time.
[[noreturn]] void append_for_ever(const std::filesystem::path& folder, int pipe_fd) {
  auto book = Book::open(options(folder), system_clock());
  if (!book) _exit(3);
  uint64_t next[] = {(*book)->last_seq(kSources[0]) + 1, (*book)->last_seq(kSources[1]) + 1};
  std::mt19937_64 random(static_cast<uint64_t>(getpid()));
  while (true) {
    const auto source = static_cast<uint32_t>(random() % 2);
    const auto count = static_cast<uint32_t>(1 + random() % 40);
    const uint64_t last = next[source] + count - 1;
    (*book)->submit(make_batch(kSources[source], next[source], count), [=](const Result<Receipt>& receipt) {
      if (!receipt) _exit(4);
      const Acknowledged said{source, count, receipt->first_index, last};
      if (write(pipe_fd, &said, sizeof said) != sizeof said) _exit(5);
    });
    next[source] = last + 1;
  }
}

// Runs a child until it has acknowledged `batches` batches, kills it, and returns all that it acknowledged.
std::vector<Acknowledged> run_and_kill(const std::filesystem::path& folder, uint64_t batches) {
  int fds[2];
  PB_CHECK(pipe(fds) == 0);
  const pid_t child = fork();
  PB_CHECK(child >= 0);
  if (child == 0) {
    close(fds[0]);
    append_for_ever(folder, fds[1]);
  }
  close(fds[1]);
  std::vector<Acknowledged> all;
  Acknowledged said{};
  while (read(fds[0], &said, sizeof said) == sizeof said) {
    all.push_back(said);
    if (all.size() == batches) kill(child, SIGKILL);
  }
  close(fds[0]);
  int status = 0;
  PB_CHECK(waitpid(child, &status, 0) == child);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
  return all;
}

// Every record from `from` on is one that a source made, in order; returns how many belong to each source.
void check_from(const View& view, uint64_t from, std::array<uint64_t, 2>& seqs) {
  Record record;
  Record expected;
  for (uint64_t index = from; index < view.size(); ++index) {
    ASSERT_TRUE(view.read(index, record).has_value());
    const std::string_view name = record.text(Field::kSource);
    const auto source = std::ranges::find(kSources, name);
    if (source == std::end(kSources)) {
      ASSERT_EQ(name, "web-7/book");
      continue;
    }
    uint64_t& seq = seqs[static_cast<size_t>(source - std::begin(kSources))];
    make_record(name, ++seq, expected);
    ASSERT_TRUE(record == expected) << "record " << index << " was lost, doubled or invented";
  }
}

TEST(Crash, AHundredKillsLoseAndInventNothing) {
  const TemporaryFolder folder;
  std::mt19937_64 random(4711);
  std::array<uint64_t, 2> seqs{};
  uint64_t checked = 0;
  int recovered = 0;
  for (int round = 0; round < 100; ++round) {
    const auto acknowledged = run_and_kill(folder.path(), 1 + random() % 60);
    const auto book = Book::open(options(folder.path()), system_clock());
    ASSERT_TRUE(book.has_value()) << book.error().message;
    ASSERT_FALSE((*book)->read_only_reason().has_value()) << *(*book)->read_only_reason();
    if (!(*book)->recovery_report().empty()) ++recovered;
    const View view = (*book)->view();
    check_from(view, checked, seqs);
    checked = view.size();
    Record record;
    for (const Acknowledged& said : acknowledged) {
      ASSERT_GE((*book)->last_seq(kSources[said.source]), said.last_seq) << "an acknowledged batch is gone";
      ASSERT_TRUE(view.read(said.first_index + said.count - 1, record).has_value());
      ASSERT_EQ(record.uint(Field::kSourceSeq), said.last_seq);
      ASSERT_EQ(record.text(Field::kSource), kSources[said.source]);
    }
    if (testing::Test::HasFatalFailure()) return;
  }
  const auto report = verify_book(folder.path(), {});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_FALSE(report->problem.has_value()) << report->problem->sentence;
  RecordProperty("recovered", recovered);
}

// A tmpfs of a given size, unmounted at the end.
class SmallDisk {
 public:
  explicit SmallDisk(const char* size) {
    mounted_ = mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, (std::string("mode=0700,size=") + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
  bool mounted_ = false;
};

std::vector<std::string> actions(const View& view) {
  std::vector<std::string> all;
  Record record;
  for (uint64_t index = 0; index < view.size(); ++index) {
    if (view.read(index, record) && record.kind() == Kind::kAdmin) all.emplace_back(record.text(Field::kAction));
  }
  return all;
}

TEST(Crash, AFullDiskRefusesAndRecovers) {
  const SmallDisk disk("10m");
  if (!disk.mounted()) GTEST_SKIP() << "only root may mount a small tmpfs";
  const auto filler = disk.path() / "filler";
  std::ofstream(filler, std::ios::binary) << std::string(4 << 20, 'x');
  const auto folder = disk.path() / "book";
  uint64_t accepted = 0;
  {
    ForwardClock clock;
    const auto book = Book::open(options(folder), clock);
    ASSERT_TRUE(book.has_value()) << book.error().message;
    Result<Receipt> receipt;
    while ((receipt = (*book)->append(make_batch(kSources[0], accepted + 1, 500)))) accepted += 500;
    EXPECT_EQ(receipt.error().code, ErrorCode::kIo);
    EXPECT_NE(receipt.error().message.find("the disk is full"), std::string::npos) << receipt.error().message;
    EXPECT_EQ((*book)->last_seq(kSources[0]), accepted) << "nothing half-written";
    EXPECT_EQ(actions((*book)->view()).back(), "disk full");
    const TimeNs refused = clock.now();
    clock.forward = 60 * kNsPerSecond;
    EXPECT_FALSE((*book)->append(make_batch(kSources[0], accepted + 1, 500)).has_value());
    const auto stall = (*book)->stalled();
    ASSERT_TRUE(stall) << "a minute later nothing is written yet";
    EXPECT_LE(stall->since, refused) << "since the first refusal, not the last";
    EXPECT_NE(stall->reason.find("the disk is full"), std::string::npos) << stall->reason;
    std::filesystem::remove(filler);
    receipt = (*book)->append(make_batch(kSources[0], accepted + 1, 500));
    ASSERT_TRUE(receipt.has_value()) << receipt.error().message;
    EXPECT_FALSE((*book)->stalled());
    accepted += 500;
    EXPECT_EQ(actions((*book)->view()), (std::vector<std::string>{"key made", "disk full", "disk has space"}));
  }
  const auto report = verify_book(folder, {});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_FALSE(report->problem.has_value()) << report->problem->sentence;
  const auto book = Book::open(options(folder), system_clock());
  ASSERT_TRUE(book.has_value()) << book.error().message;
  EXPECT_EQ((*book)->recovery_report(), "");
  EXPECT_EQ((*book)->last_seq(kSources[0]), accepted);
}

}  // namespace
}  // namespace portbook
