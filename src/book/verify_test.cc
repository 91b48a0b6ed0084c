#include "book/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "book/export.h"
#include "book/local_book.h"
#include "book/test_batches.h"
#include "merkle/checkpoint.h"
#include "merkle/tile.h"

namespace portbook {
namespace {

namespace fs = std::filesystem;

Bytes read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

void write(const fs::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

// One sealed block, several log files, everything of one book: made once, every test puts back what it changes.
class VerifyTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    const BookOptions options{.folder = folder_->path(),
                              .origin = "book.example.org/web-7",
                              .host = "web-7",
                              .log_file_bytes = 1 << 18,
                              .reserve_bytes = 4096};
    auto book = Book::open(options, system_clock());
    ASSERT_TRUE(book.has_value()) << book.error().message;
    TestSource source("web-7/socket");
    TestSource other("web-7/nat", 2);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE((*book)->append(other.batch(500)).has_value());
    early_checkpoint_ = (*book)->checkpoint();
    const auto sealed = [&] { return fs::exists(folder_->path() / "segment-000000000000000"); };
    for (int i = 0; i < 70; ++i) {
      ASSERT_TRUE((*book)->append(source.batch(1000)).has_value());
      if (i == 40) middle_checkpoint_ = (*book)->checkpoint();
    }
    for (int i = 0; i < 1000 && !sealed(); ++i) (*book)->wait_beyond(UINT64_MAX, std::chrono::milliseconds(10));
    ASSERT_TRUE(sealed());
    vkey_ = (*book)->vkey();
    size_ = (*book)->view().size();
    make_small();
  }
  // Everything but a segment, so that verifying it takes no time.
  static void make_small() {
    small_ = std::make_unique<TemporaryFolder>();
    const BookOptions options{.folder = small_->path(),
                              .origin = "book.example.org/db-1",
                              .host = "db-1",
                              .log_file_bytes = 1 << 16,
                              .reserve_bytes = 4096};
    auto book = Book::open(options, system_clock());
    ASSERT_TRUE(book.has_value()) << book.error().message;
    TestSource source("db-1/socket");
    for (int i = 0; i < 25; ++i) ASSERT_TRUE((*book)->append(source.batch(40)).has_value());
  }
  static void TearDownTestSuite() {
    folder_.reset();
    small_.reset();
  }

  static Result<VerifyReport> verify(VerifyOptions options = {}) { return verify_book(folder_->path(), options); }

  // Each file of the small book, and the large one's segment.
  static std::vector<fs::path> each_kind() {
    std::vector<fs::path> paths = evidence(small_->path());
    paths.push_back(folder_->path() / segment_file_name(0));
    return paths;
  }

  static std::vector<fs::path> evidence(const fs::path& folder) {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename();
      // `lock`, `reserve` and spare files hold nothing; `handed-out` says nothing of records.
      if (name != "lock" && name != "reserve" && name != "handed-out" && !name.starts_with("spare-")) paths.push_back(entry.path());
    }
    std::ranges::sort(paths);
    return paths;
  }

  // Verify must find it, and name that file.
  static void expect_found(const fs::path& path, const std::string& what) {
    const auto report = verify_book(path.parent_path(), {});
    const std::string name = path.filename();
    if (!report) {  // the book is no book any more
      EXPECT_EQ(report.error().code, ErrorCode::kNotFound) << name << " " << what << ": " << report.error().message;
      return;
    }
    ASSERT_TRUE(report->problem.has_value()) << name << ": " << what << " was not noticed";
    EXPECT_EQ(report->problem->file, name) << what << ": " << report->problem->sentence;
    EXPECT_NE(report->problem->sentence.find(name), std::string::npos) << report->problem->sentence;
  }

  static std::unique_ptr<TemporaryFolder> folder_;
  static std::unique_ptr<TemporaryFolder> small_;
  static std::string vkey_;
  static std::string early_checkpoint_;
  static std::string middle_checkpoint_;
  static uint64_t size_;
};

std::unique_ptr<TemporaryFolder> VerifyTest::folder_;
std::unique_ptr<TemporaryFolder> VerifyTest::small_;
std::string VerifyTest::vkey_;
std::string VerifyTest::early_checkpoint_;
std::string VerifyTest::middle_checkpoint_;
uint64_t VerifyTest::size_ = 0;

TEST_F(VerifyTest, AGoodBookIsGood) {
  uint64_t told = 0;
  const auto report = verify({.vkey = vkey_, .older_checkpoint = {}, .progress = [&](uint64_t done, uint64_t) { told = done; }});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_FALSE(report->problem.has_value()) << report->problem->sentence;
  EXPECT_EQ(report->size, size_);
  EXPECT_EQ(report->records_checked, size_);
  EXPECT_EQ(report->segments, 1U);
  EXPECT_EQ(told, size_);
}

TEST_F(VerifyTest, OlderCheckpointsLeadToIt) {
  for (const std::string& older : {early_checkpoint_, middle_checkpoint_}) {
    const auto report = verify({.vkey = {}, .older_checkpoint = older, .progress = {}});
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_FALSE(report->problem.has_value()) << report->problem->sentence;
  }
}

// Signed by the same key, over other records: what a thief of the key would leave behind.
TEST_F(VerifyTest, AnOlderCheckpointOfAnotherHistoryIsNoticed) {
  const auto signer = read_signer(*make_machine_disk(folder_->path()));
  ASSERT_TRUE(signer.has_value());
  for (const uint64_t size : {700UL, 40'000UL, 65'536UL, size_ - 5, size_, size_ + 1}) {
    const std::string forged = *sign_checkpoint({size, sha256(as_bytes("other history"))}, **signer);
    const auto report = verify({.vkey = vkey_, .older_checkpoint = forged, .progress = {}});
    ASSERT_TRUE(report.has_value()) << report.error().message;
    ASSERT_TRUE(report->problem.has_value()) << size;
    EXPECT_NE(report->problem->sentence.find("older checkpoint"), std::string::npos) << report->problem->sentence;
  }
}

TEST_F(VerifyTest, AnotherKeyIsNoticed) {
  const auto stranger = make_ed25519_signer("book.example.org/web-7", Ed25519Seed{9});
  const auto report = verify({.vkey = to_vkey(make_verifier(*stranger)), .older_checkpoint = {}, .progress = {}});
  ASSERT_TRUE(report.has_value());
  EXPECT_TRUE(report->problem.has_value());
  EXPECT_EQ(verify({.vkey = "junk", .older_checkpoint = {}, .progress = {}}).error().code, ErrorCode::kBadInput);
}

TEST_F(VerifyTest, EveryFlipIsFoundAndItsFileNamed) {
  for (const fs::path& path : each_kind()) {
    const Bytes good = read(path);
    // Every byte of small files and of the first 120; behind that steps that are no power of two.
    const size_t step = good.size() <= 300 ? 1 : good.size() / 97 + 1;
    for (size_t at = 0; at < good.size(); at += at < 120 ? 1 : step) {
      Bytes changed = good;
      changed[at] ^= static_cast<Byte>(1U << at % 8);
      write(path, changed);
      expect_found(path, "bit flipped at " + std::to_string(at));
    }
    Bytes changed = good;
    changed.back() ^= 1;
    write(path, changed);
    expect_found(path, "last byte");
    write(path, good);
  }
  EXPECT_FALSE(verify()->problem.has_value());
  EXPECT_FALSE(verify_book(small_->path(), {})->problem.has_value());
}

TEST_F(VerifyTest, EveryColumnIsLookedAt) {
  const fs::path segment = folder_->path() / segment_file_name(0);
  const auto disk = make_machine_disk(folder_->path());
  const auto footer = *read_segment_footer(**disk->open_to_read(segment_file_name(0)));
  std::vector<SegmentSection> sections = footer.columns;
  sections.push_back(footer.index);
  const Bytes good = read(segment);
  for (const SegmentSection& section : sections) {
    Bytes changed = good;
    changed[section.offset + section.length / 2] ^= 4;
    write(segment, changed);
    const auto report = verify();
    ASSERT_TRUE(report->problem.has_value());
    EXPECT_EQ(report->problem->offset, section.offset) << report->problem->sentence;
  }
  write(segment, good);
}

TEST_F(VerifyTest, DeletedTruncatedExtendedAndSwappedFilesAreFound) {
  for (const fs::path& path : each_kind()) {
    const Bytes good = read(path);
    fs::remove(path);
    const std::string name = path.filename();
    const auto report = verify_book(path.parent_path(), {});
    // Who checks a copy has no private key.
    if (name != "key") EXPECT_TRUE(!report || report->problem.has_value()) << name << " deleted";
    for (const size_t length : {size_t{0}, size_t{1}, good.size() / 2, good.size() - 1}) {
      Bytes changed(good.begin(), good.begin() + static_cast<ptrdiff_t>(length));
      write(path, changed);
      const auto cut = verify_book(path.parent_path(), {});
      // Zeros at a log file's end are only room: without some of them nothing is missing.
      const bool only_room = name.starts_with("log-") &&
                             std::all_of(good.begin() + static_cast<ptrdiff_t>(length), good.end(), [](Byte b) { return b == 0; });
      if (!only_room) EXPECT_TRUE(!cut || cut->problem.has_value()) << name << " cut to " << length;
    }
    Bytes longer = good;
    longer.push_back(1);
    write(path, longer);
    expect_found(path, "a byte behind its end");
    Bytes inserted = good;
    inserted.insert(inserted.begin() + static_cast<ptrdiff_t>(good.size() / 3), 0x5a);
    write(path, inserted);
    expect_found(path, "a byte inserted");
    Bytes swapped = good;
    const size_t half = good.size() / 2;
    std::swap_ranges(swapped.begin(), swapped.begin() + static_cast<ptrdiff_t>(half),
                     swapped.begin() + static_cast<ptrdiff_t>(half));
    write(path, swapped);
    expect_found(path, "halves swapped");
    write(path, good);
  }
  EXPECT_FALSE(verify()->problem.has_value());
}

// A process that is killed while it writes leaves part of a frame: nobody was told that it is in the book.
TEST_F(VerifyTest, PartOfAFrameBehindWhatIsSignedIsNoDamage) {
  fs::path newest;
  for (const fs::path& path : evidence(small_->path())) {
    if (path.filename().string().starts_with("log-")) newest = path;
  }
  const Bytes before = read(newest);
  Bytes torn = before;
  const auto end = static_cast<size_t>(std::find_if(before.rbegin(), before.rend(), [](Byte byte) { return byte != 0; }).base() -
                                       before.begin());
  for (size_t i = end + 8; i < end + 40; ++i) torn[i] = 0xab;
  write(newest, torn);
  auto report = verify_book(small_->path(), {});
  ASSERT_TRUE(report.has_value());
  ASSERT_TRUE(report->problem.has_value());
  EXPECT_TRUE(report->problem->only_unsettled) << report->problem->sentence;
  EXPECT_EQ(report->problem->file, newest.filename().string());
  torn = before;
  torn[end - 20] ^= 1;  // what is signed
  write(newest, torn);
  report = verify_book(small_->path(), {});
  ASSERT_TRUE(report.has_value() && report->problem.has_value());
  EXPECT_FALSE(report->problem->only_unsettled) << report->problem->sentence;
  write(newest, before);
}

TEST_F(VerifyTest, SwappedLogFilesAreFound) {
  std::vector<fs::path> logs;
  for (const fs::path& path : evidence(small_->path())) {
    if (path.filename().string().starts_with("log-")) logs.push_back(path);
  }
  ASSERT_GE(logs.size(), 2U);
  const Bytes first = read(logs[0]);
  const Bytes second = read(logs[1]);
  write(logs[0], second);
  write(logs[1], first);
  EXPECT_TRUE(verify_book(small_->path(), {})->problem.has_value());
  write(logs[0], first);
  write(logs[1], second);
}

// What cannot come from a crash makes the book read-only, and opening it changes nothing.
TEST_F(VerifyTest, ADamagedBookOpensReadOnly) {
  const fs::path segment = folder_->path() / segment_file_name(0);
  const Bytes good = read(segment);
  Bytes changed = good;
  changed.back() ^= 1;
  write(segment, changed);
  {
    const auto book =
        Book::open({.folder = folder_->path(), .origin = "", .host = "web-7", .log_file_bytes = 1 << 18, .reserve_bytes = 4096},
                   system_clock());
    ASSERT_TRUE(book.has_value()) << book.error().message;
    ASSERT_TRUE((*book)->read_only_reason().has_value());
    EXPECT_NE((*book)->read_only_reason()->find(segment_file_name(0)), std::string::npos);
    EXPECT_NE((*book)->recovery_report().find("changed from outside"), std::string::npos);
    EXPECT_EQ((*book)->append(TestSource("x").batch(1)).error().code, ErrorCode::kUnavailable);
  }
  EXPECT_EQ(read(segment), changed);
  write(segment, good);
}

// An older head with newer data is a rollback, not a crash.
TEST_F(VerifyTest, AHeadOlderThanSealedDataIsARollback) {
  const fs::path head = folder_->path() / "head";
  const Bytes good = read(head);
  const auto signer = read_signer(*make_machine_disk(folder_->path()));
  Bytes older(kHeadFileBytes);
  std::ranges::copy(encode_head_slot({2, early_checkpoint_}), older.begin());
  write(head, older);
  EXPECT_TRUE(verify()->problem.has_value());
  {
    const auto book =
        Book::open({.folder = folder_->path(), .origin = "", .host = "web-7", .log_file_bytes = 1 << 18, .reserve_bytes = 4096},
                   system_clock());
    ASSERT_TRUE(book.has_value());
    EXPECT_NE((*book)->read_only_reason().value_or("").find("rollback"), std::string::npos)
        << (*book)->read_only_reason().value_or("");
  }
  write(head, good);
}

TEST_F(VerifyTest, ANewerFormatIsRefusedInOneSentence) {
  const fs::path path = folder_->path() / "book";
  const Bytes good = read(path);
  const std::string newer = "portbook book, format 2\norigin book.example.org/web-7\n";
  write(path, Bytes(newer.begin(), newer.end()));
  const auto book = Book::open(
      {.folder = folder_->path(), .origin = "", .host = "", .log_file_bytes = 1 << 18, .reserve_bytes = 4096}, system_clock());
  ASSERT_FALSE(book.has_value());
  EXPECT_EQ(book.error().code, ErrorCode::kNewer);
  EXPECT_NE(book.error().message.find("written by a newer portbook"), std::string::npos);
  write(path, good);
}

TEST_F(VerifyTest, TheExportHoldsEveryRecordAndEveryTile) {
  const auto snapshot = open_snapshot(folder_->path());
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  const TemporaryFolder target;
  const Status done = export_tlog(*snapshot, target.path());
  ASSERT_TRUE(done.has_value()) << done.error().message;
  CompactRange range;
  for (uint64_t index = 0; index * 256 < size_; ++index) {
    const uint32_t width = tile_width_at(0, index, size_);
    const Bytes bundle = read(target.path() / tile_path(EntryBundle{index, width}));
    const Bytes tile = read(target.path() / tile_path(HashTile{0, index, width}));
    ASSERT_EQ(tile.size(), size_t{32} * width);
    size_t at = 0;
    for (uint32_t i = 0; i < width; ++i) {
      ASSERT_LE(at + 2, bundle.size());
      const size_t length = load_big<uint16_t>(bundle.data() + at);
      const Hash leaf = leaf_hash(ByteView(bundle).subspan(at + 2, length));
      ASSERT_TRUE(std::equal(leaf.begin(), leaf.end(), tile.begin() + 32 * i));
      range.append(leaf);
      at += 2 + length;
    }
    ASSERT_EQ(at, bundle.size());
  }
  const std::string checkpoint(as_text(read(target.path() / "checkpoint")));
  EXPECT_EQ(open_checkpoint(checkpoint, *parse_vkey(vkey_))->head, (TreeHead{size_, range.root()}));
}

TEST(Verify, NoBookIsNoBook) {
  const TemporaryFolder empty;
  EXPECT_EQ(verify_book(empty.path(), {}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(open_snapshot(empty.path()).error().code, ErrorCode::kNotFound);
}

// Ends the writer also when the test fails half-way.
class Stopper {
 public:
  explicit Stopper(std::atomic<bool>& flag) : flag_(flag) {}
  ~Stopper() { flag_ = true; }
  Stopper(const Stopper&) = delete;
  Stopper& operator=(const Stopper&) = delete;

 private:
  std::atomic<bool>& flag_;
};

TEST(Verify, ARunningBookIsVerifiedWhileItGrowsAndSeals) {
  const TemporaryFolder folder;
  auto book = *Book::open({.folder = folder.path(), .origin = "o", .host = "h", .log_file_bytes = 1 << 18, .reserve_bytes = 4096},
                          system_clock());
  TestSource source("h/socket");
  std::atomic<bool> stop{false};
  const std::jthread writer([&] {
    for (int i = 0; i < 150 && !stop; ++i) ASSERT_TRUE(book->append(source.batch(1000)).has_value());
  });
  const Stopper stopper(stop);
  uint64_t last = 0;
  while (last < 100'000) {
    const auto report = verify_book(folder.path(), {});
    ASSERT_TRUE(report.has_value()) << report.error().message;
    ASSERT_FALSE(report->problem.has_value()) << report->problem->sentence;
    EXPECT_GE(report->size, last);
    last = report->size;
    const auto snapshot = open_snapshot(folder.path());
    ASSERT_TRUE(snapshot.has_value()) << snapshot.error().message;
  }
}

}  // namespace
}  // namespace portbook
