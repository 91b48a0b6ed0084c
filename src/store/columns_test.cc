#include "store/columns.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "record/cbor.h"
#include "record/random_record.h"

namespace portbook {
namespace {

Bytes bytes_of(const Record& record) {
  Bytes bytes;
  encode(record, bytes);
  return bytes;
}

TEST(Columns, GiveBackEveryRecord) {
  RandomRecords random(7);
  Columns columns;
  std::vector<Bytes> written;
  Record record;
  for (uint32_t i = 0; i < 3000; ++i) {
    random.next(record, i % 11);
    written.push_back(bytes_of(record));
    columns.append(record);
  }
  EXPECT_EQ(columns.rows(), 0U) << "not visible before publish";
  columns.publish();
  ASSERT_EQ(columns.rows(), 3000U);
  for (uint32_t row = 0; row < 3000; ++row) {
    columns.read(row, record);
    EXPECT_EQ(bytes_of(record), written[row]) << row;
  }
}

TEST(Columns, GiveSingleValues) {
  Columns columns;
  Record record;
  record.set(Field::kKind, Kind::kClock);
  record.set(Field::kSrcIp, Field::kSrcPort, {Ip::v4(0x0a000001), 51420});
  record.set(Field::kExe, "/usr/bin/python3");
  record.set(Field::kComm, "");
  record.set_signed(Field::kClockStep, -5);
  columns.append(record);
  columns.publish();
  EXPECT_EQ(columns.uint(0, Field::kSrcPort), 51420U);
  EXPECT_EQ(columns.uint(0, Field::kKind), static_cast<uint64_t>(Kind::kClock));
  EXPECT_EQ(columns.ip(0, Field::kSrcIp), Ip::v4(0x0a000001));
  EXPECT_EQ(columns.text(0, Field::kExe), "/usr/bin/python3");
  EXPECT_EQ(columns.text(0, Field::kComm), "");
  EXPECT_EQ(columns.signed_value(0, Field::kClockStep), -5);
  EXPECT_TRUE(columns.has(0, Field::kComm));
  EXPECT_FALSE(columns.has(0, Field::kCwd));
}

TEST(Columns, KeepLongTextsWhole) {
  Columns columns;
  Record record;
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) {
    texts.emplace_back(static_cast<size_t>(16384 - i), static_cast<char>('a' + i % 26));
    record.clear();
    record.set(Field::kKind, Kind::kNote);
    record.set(Field::kMessage, std::string_view(texts.back()));
    columns.append(record);
  }
  columns.publish();
  for (uint32_t row = 0; row < 300; ++row) EXPECT_EQ(columns.text(row, Field::kMessage), texts[row]);
}

TEST(Columns, AreReadWhileTheyGrow) {
  Columns columns;
  std::thread writer([&] {
    Record record;
    for (uint32_t i = 0; i < kBlockRowsMax; ++i) {
      record.clear();
      record.set(Field::kKind, Kind::kOpen);
      record.set(Field::kSourceSeq, uint64_t{i} + 1);
      record.set(Field::kExe, std::string_view(std::to_string(i)));
      columns.append(record);
      if (i % 7 == 6) columns.publish();
    }
    columns.publish();
  });
  uint32_t seen = 0;
  while (seen < kBlockRowsMax) {
    seen = columns.rows();
    if (seen == 0) continue;
    const uint32_t row = seen - 1;
    ASSERT_EQ(columns.uint(row, Field::kSourceSeq), row + 1);
    ASSERT_EQ(columns.text(row, Field::kExe), std::to_string(row));
  }
  writer.join();
}

}  // namespace
}  // namespace portbook
