#include "store/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace portbook {
namespace {

// A log file of two frames and some zeros.
Bytes sample_file(uint64_t serial) {
  Bytes file;
  append(file, encode_log_header({serial, 10}));
  FrameBuilder frame;
  frame.add(as_bytes("first record"), 1);
  append(file, frame.finish(serial, 10));
  frame.clear();
  frame.add(as_bytes("second"), 1);
  frame.add(as_bytes("third!!"), 1);
  append(file, frame.finish(serial, 11));
  file.resize(file.size() + 100);
  return file;
}

TEST(LogFrame, ReadsWhatItWrites) {
  const Bytes file = sample_file(3);
  EXPECT_EQ(parse_log_header(file)->first_index, 10U);
  const auto first = std::get<Frame>(read_log_item(file, kLogHeaderBytes, 3));
  EXPECT_EQ(first.first_index, 10U);
  EXPECT_EQ(as_text(first.payload), "first record");
  const auto second = std::get<Frame>(read_log_item(file, first.offset + frame_bytes(first.payload.size()), 3));
  EXPECT_EQ(second.count, 2U);
  EXPECT_EQ(as_text(second.payload), "secondthird!!");
  const auto end = std::get<LogEnd>(read_log_item(file, second.offset + frame_bytes(second.payload.size()), 3));
  EXPECT_EQ(end.offset, file.size() - 100);
}

TEST(LogFrame, EveryFlippedByteIsNoticed) {
  const Bytes good = sample_file(3);
  const auto frames = [](const Bytes& file) {
    int count = 0;
    uint64_t at = kLogHeaderBytes;
    if (!parse_log_header(file)) return -1;
    while (true) {
      const LogItem item = read_log_item(file, at, 3);
      if (std::holds_alternative<BadFrame>(item)) return -2;
      if (std::holds_alternative<LogEnd>(item)) return count;
      at += frame_bytes(std::get<Frame>(item).payload.size());
      ++count;
    }
  };
  ASSERT_EQ(frames(good), 2);
  for (size_t at = 0; at < good.size(); ++at) {
    Bytes file = good;
    file[at] ^= 1;
    EXPECT_LT(frames(file), 0) << at;
  }
}

TEST(LogFrame, SaysWhatItIsNot) {
  Bytes file = sample_file(3);
  EXPECT_EQ(std::get<BadFrame>(read_log_item(file, kLogHeaderBytes, 4)).reason, "the frame belongs to another log file");
  file.back() = 1;
  const auto junk = std::get<BadFrame>(read_log_item(file, file.size() - 100, 3));
  EXPECT_EQ(junk.nonzero_end, file.size());
  EXPECT_TRUE(std::holds_alternative<BadFrame>(read_log_item(ByteView(file).first(80), kLogHeaderBytes, 3)));
}

TEST(LogName, IsReadAsItIsWritten) {
  EXPECT_EQ(log_file_serial(log_file_name(17)), 17U);
  for (const char* name : {"log-17", "log-000000000017.new", "spare-000000000017", "log-"})
    EXPECT_EQ(log_file_serial(name), 0U) << name;
}

}  // namespace
}  // namespace portbook
