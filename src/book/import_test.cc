#include "book/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/file_descriptor.h"
#include "book/test_batches.h"
#include "book/verify.h"

namespace portbook {
namespace {

using testing::HasSubstr;

constexpr std::string_view kName = "web-7/import/old";

FileDescriptor file_of(std::string_view text) {
  FileDescriptor file(memfd_create("lines", MFD_CLOEXEC));
  EXPECT_EQ(pwrite(file.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return file;
}

std::string note(uint64_t time) {
  return fmt::format(R"({{"kind":"note","time":{},"vantage":"app","message":"line of {}"}})", 1'795'000'000'000'000'000 + time,
                     time);
}

std::string notes(uint64_t count) {
  std::string text;
  for (uint64_t i = 1; i <= count; ++i) text += note(i) + "\n";
  return text;
}

class ImportTest : public testing::Test {
 protected:
  std::unique_ptr<Book> open() {
    auto book = Book::open({.folder = folder_.path(),
                            .origin = "book.example.org/web-7",
                            .host = "web-7",
                            .log_file_bytes = 1 << 20,
                            .reserve_bytes = 1 << 20},
                           system_clock());
    EXPECT_TRUE(book.has_value()) << (book ? "" : book.error().message);
    return book ? std::move(*book) : nullptr;
  }
  Status import(Book& book, std::string_view text, unsigned threads = 3) {
    const FileDescriptor file = file_of(text);
    return import_lines(file.get(), *make_import_target(book), {.source = std::string(kName), .threads = threads}, report_);
  }
  // The times of the source's records, in the order of the book.
  static std::vector<uint64_t> imported(const Book& book) {
    std::vector<uint64_t> times;
    Record record;
    const View view = book.view();
    for (uint64_t i = 0; i < view.size(); ++i) {
      EXPECT_TRUE(view.read(i, record).has_value());
      if (record.text_or(Field::kSource, "") != kName) continue;
      times.push_back(record.time() - 1'795'000'000'000'000'000);
      EXPECT_EQ(record.uint(Field::kSourceSeq), times.size());
    }
    return times;
  }
  static std::vector<Record> search_notes(const Book& book, TimeNs time) {
    std::vector<Record> found;
    Record record;
    const View view = book.view();
    for (uint64_t i = 0; i < view.size(); ++i) {
      if (view.read(i, record) && record.text_or(Field::kSource, "") == kName && record.time() == time) found.push_back(record);
    }
    return found;
  }
  static std::vector<uint64_t> up_to(uint64_t last) {
    std::vector<uint64_t> all;
    for (uint64_t i = 1; i <= last; ++i) all.push_back(i);
    return all;
  }

  TemporaryFolder folder_;
  ImportReport report_;
};

TEST_F(ImportTest, EveryLineIsARecordInItsOrder) {
  constexpr uint64_t kLines = 60'000;  // of several chunks
  {
    const auto book = open();
    const Status status = import(*book, notes(kLines));
    ASSERT_TRUE(status.has_value()) << status.error().message;
    EXPECT_EQ(report_.records, kLines);
    EXPECT_EQ(report_.already, 0U);
    EXPECT_EQ(imported(*book), up_to(kLines));
  }
  const auto verified = verify_book(folder_.path(), {});
  ASSERT_TRUE(verified.has_value());
  EXPECT_FALSE(verified->problem.has_value()) << verified->problem->sentence;
}

TEST_F(ImportTest, LinesThatHoldNothingAndALastOneWithoutNewlineCount) {
  const auto book = open();
  ASSERT_TRUE(import(*book, "\n \r\n" + note(1) + "\r\n\n" + note(2)).has_value());
  EXPECT_EQ(imported(*book), up_to(2));
}

TEST_F(ImportTest, TheSameFileAgainDoublesNothingAndAnEarlyEndGoesOn) {
  const auto book = open();
  ASSERT_TRUE(import(*book, notes(5'000)).has_value());
  ASSERT_TRUE(import(*book, notes(30'000)).has_value());
  EXPECT_EQ(report_.already, 5'000U);
  EXPECT_EQ(report_.records, 25'000U);
  ASSERT_TRUE(import(*book, notes(30'000)).has_value());
  EXPECT_EQ(report_.records, 0U);
  EXPECT_EQ(imported(*book), up_to(30'000));
}

TEST_F(ImportTest, AShorterFileIsAnotherOne) {
  const auto book = open();
  ASSERT_TRUE(import(*book, notes(50)).has_value());
  const Status status = import(*book, notes(49));
  ASSERT_FALSE(status.has_value());
  EXPECT_THAT(status.error().message, HasSubstr("50 records"));
  EXPECT_THAT(status.error().message, HasSubstr("only 49"));
}

TEST_F(ImportTest, ABadLineIsNamedWithItsFieldAndTheOnesBeforeItAreIn) {
  const auto book = open();
  const std::string bad = R"({"kind":"note","time":1,"vantage":"app","src.port":70000})";
  std::string text = notes(20'000) + "\n" + bad + "\n";
  for (int i = 0; i < 9'000; ++i) text += note(1) + "\n";
  const Status status = import(*book, text);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kBadInput);
  EXPECT_THAT(status.error().message, HasSubstr("line 20002: member \"src.port\""));
  EXPECT_EQ(report_.records, 20'000U);
  EXPECT_EQ(imported(*book), up_to(20'000));
}

TEST_F(ImportTest, WrongLinesBecomeNotesWhereThatIsAskedFor) {
  constexpr TimeNs kMoment = 1'795'000'000'000'000'777;
  const std::string refused = R"({"kind":"gap","time":1,"vantage":"app"})";
  const std::string broken = "\x80 no UTF-8" + std::string(20'000, 'x');
  const FileDescriptor file = file_of(note(1) + "\n" + refused + "\r\n\n" + broken + "\n" + note(4));
  ImportOptions options{.source = std::string(kName), .threads = 2};
  options.note_bad_lines = kMoment;
  const auto book = open();
  const Status done = import_lines(file.get(), *make_import_target(*book), options, report_);
  ASSERT_TRUE(done.has_value()) << done.error().message;
  EXPECT_EQ(report_.records, 4U);
  EXPECT_EQ(report_.bad, 2U);
  EXPECT_EQ(imported(*book), (std::vector<uint64_t>{1, 777, 777, 4}));
  const auto notes = search_notes(*book, kMoment);
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_EQ(notes[0].text(Field::kMessage), refused);
  EXPECT_EQ(notes[0].text(Field::kCause), "not a record: line 2: member \"kind\": gap is for the book and its agents to say");
  EXPECT_EQ(notes[1].text(Field::kMessage), broken.substr(0, info(Field::kMessage).maximum));
  EXPECT_EQ(notes[1].text_or(Field::kCut, ""), "message");
  EXPECT_THAT(std::string(notes[1].text(Field::kCause)), HasSubstr("line 4: "));
  // Again, with or without: what is there stays, and nothing is doubled.
  ASSERT_EQ(lseek(file.get(), 0, SEEK_SET), 0);
  options.note_bad_lines.reset();
  ASSERT_TRUE(import_lines(file.get(), *make_import_target(*book), options, report_).has_value());
  EXPECT_EQ(report_.records, 0U);
  EXPECT_EQ(report_.already, 4U);
  EXPECT_EQ(report_.bad, 0U);
}

TEST_F(ImportTest, ManyShortWrongLinesAreMoreThanOneBatchAndNoneIsLost) {
  std::string text;
  while (text.size() < kImportLineBytesMax / 8) text += "?\n";
  const FileDescriptor file = file_of(text);
  ImportOptions options{.source = std::string(kName), .threads = 3};
  options.note_bad_lines = 1'795'000'000'000'000'001;
  const auto book = open();
  const Status done = import_lines(file.get(), *make_import_target(*book), options, report_);
  ASSERT_TRUE(done.has_value()) << done.error().message;
  EXPECT_EQ(report_.bad, text.size() / 2);
  EXPECT_GT(report_.bad, kBatchRecordsMax);
  EXPECT_EQ(imported(*book).size(), report_.bad);
}

TEST_F(ImportTest, WhatOnlyTheBookAndItsAgentsMaySayIsRefused) {
  const auto book = open();
  const auto said = [&](std::string_view line) {
    const Status status = import(*book, line);
    return status ? std::string("taken") : status.error().message;
  };
  EXPECT_THAT(said(R"({"kind":"open","time":1,"vantage":"socket"})"), HasSubstr("nobody vouches for socket"));
  EXPECT_THAT(said(R"({"kind":"note","time":1,"vantage":"book"})"), HasSubstr("nobody vouches for book"));
  EXPECT_THAT(said(R"({"kind":"gap","time":1,"vantage":"app"})"), HasSubstr("gap is for the book and its agents to say"));
  EXPECT_THAT(said(R"({"kind":"note","time":1,"vantage":"app","source":"web-7/socket"})"),
              HasSubstr("\"source\": the book gives it"));
  EXPECT_THAT(said(R"({"kind":"note","vantage":"app"})"), HasSubstr("\"time\": it is missing"));
  EXPECT_THAT(said(R"({"kind":"note","time":1})"), HasSubstr("\"vantage\": it is missing"));
  EXPECT_TRUE(imported(*book).empty());
}

TEST_F(ImportTest, VouchedVantagesAreTakenAndThatOfTheBookNever) {
  ImportLine line(UINT32_MAX);
  Record record;
  EXPECT_TRUE(line.read(R"({"kind":"open","time":1,"vantage":"socket"})", record).has_value());
  EXPECT_FALSE(line.read(R"({"kind":"note","time":1,"vantage":"book"})", record).has_value());
}

TEST_F(ImportTest, ALineThatIsTooLongIsNamed) {
  const auto book = open();
  const Status status = import(*book, note(1) + "\n" + std::string(kImportLineBytesMax + 1, ' '));
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kLimit);
  EXPECT_THAT(status.error().message, HasSubstr("line 2: it is longer"));
  EXPECT_EQ(imported(*book), up_to(1));
}

TEST_F(ImportTest, TheShortestLinesFitIntoBatches) {
  const auto book = open();
  std::string text;
  while (text.size() < 2 * kImportLineBytesMax) text += "{\"kind\":\"note\",\"time\":1,\"vantage\":\"app\"}\n";
  const FileDescriptor file = file_of(text);
  const Status status =
      import_lines(file.get(), *make_import_target(*book), {.source = std::string(kImportSourceBytesMax, 's')}, report_);
  ASSERT_TRUE(status.has_value()) << status.error().message;
  EXPECT_EQ(report_.records, static_cast<uint64_t>(std::ranges::count(text, '\n')));
}

TEST_F(ImportTest, LinesOfAnotherFormAreReadByWhoeverIsGiven) {
  const FileDescriptor file = file_of("first\n\nsecond\nthird\n");
  ImportOptions options{.source = std::string(kName), .threads = 2};
  options.reader = [] {
    return [](std::string_view line, Record& record) -> Status {
      if (line == "third") return fail(ErrorCode::kBadInput, "that is one too many");
      record.clear();
      record.set(Field::kKind, Kind::kNote);
      record.set(Field::kVantage, Vantage::kApp);
      record.set(Field::kTime, 1'795'000'000'000'000'000 + line.size());
      return Status();
    };
  };
  auto book = open();
  const Status done = import_lines(file.get(), *make_import_target(*book), options, report_);
  ASSERT_FALSE(done.has_value());
  EXPECT_THAT(done.error().message, HasSubstr("line 4: that is one too many"));
  EXPECT_EQ(imported(*book), (std::vector<uint64_t>{5, 6}));
}

}  // namespace
}  // namespace portbook
