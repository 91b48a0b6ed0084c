#include "store/segment.h"

#include <gtest/gtest.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "record/cbor.h"
#include "store/memory_file.h"
#include "store/packed_block.h"
#include "store/random_block_test.h"
#include "store/seal.h"

namespace portbook {
namespace {

std::vector<ColumnSectionView> views_of(const std::vector<ColumnSection>& sections) {
  std::vector<ColumnSectionView> views;
  for (const ColumnSection& section : sections) views.push_back({section.field, section.bytes});
  return views;
}

// Random records with so many in ten of their fields; of 11, repeating ones.
std::unique_ptr<Columns> block_of(uint32_t rows, unsigned fields_of_ten) {
  return fields_of_ten > 10 ? repeating_block(rows, rows) : random_block(rows, rows + fields_of_ten, fields_of_ten);
}

TEST(ColumnCodec, GivesBackEveryRecord) {
  for (const uint32_t rows : {1U, 2U, 255U, 256U, 2000U}) {
    for (const unsigned fields : {0U, 3U, 10U, 11U}) {
      const auto columns = block_of(rows, fields);
      const auto sections = encode_columns(*columns, rows);
      const auto decoded = decode_columns(views_of(sections), rows);
      ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
      for (uint32_t row = 0; row < rows; ++row) ASSERT_EQ(bytes_of(**decoded, row), bytes_of(*columns, row));
      const auto again = encode_columns(**decoded, rows);
      ASSERT_EQ(again.size(), sections.size());
      for (size_t i = 0; i < again.size(); ++i) EXPECT_EQ(again[i].bytes, sections[i].bytes) << "the same rows, other bytes";
    }
  }
}

TEST(PackedBlock, ReadsEachRowByItself) {
  for (const uint32_t rows : {1U, 2U, 256U, 700U}) {
    for (const unsigned fields : {0U, 1U, 5U, 10U, 11U}) {
      const auto columns = block_of(rows, fields);
      const auto sections = encode_columns(*columns, rows);
      const auto block = PackedBlock::open(sections[0].bytes, rows);
      ASSERT_TRUE(block.has_value()) << block.error().message;
      for (const ColumnSection& section : std::span(sections).subspan(1)) {
        ASSERT_TRUE((*block)->add(*section.field, section.bytes).has_value()) << info(*section.field).name;
      }
      RandomRecords random(rows);
      Record whole;
      Record single;
      for (uint32_t i = 0; i < rows; ++i) {
        const auto row = static_cast<uint32_t>(random.below(rows));
        columns->read(row, whole);
        const Status read = (*block)->read(row, single);
        ASSERT_TRUE(read.has_value()) << read.error().message;
        ASSERT_TRUE(single == whole) << row << " of " << rows;
      }
    }
  }
}

TEST(Segment, GivesBackTheBlockAndItsFacts) {
  const auto columns = random_block(3000, 9, 3);
  const auto sealed = seal_block(65536, *columns, 3000, groups_of(*columns), {}, encode_columns);
  ASSERT_TRUE(sealed.has_value()) << sealed.error().message;
  MemoryFile file(sealed->file);
  const auto footer = read_segment_footer(file);
  ASSERT_TRUE(footer.has_value()) << footer.error().message;
  EXPECT_EQ(footer->first_index, 65536U);
  EXPECT_EQ(footer->rows, 3000U);
  EXPECT_EQ(footer->groups, groups_of(*columns));
  EXPECT_EQ(footer->seqs, sealed->seqs);
  EXPECT_EQ(footer->seqs.at("web-7/socket") + footer->seqs.at("web-7/nat"), 3000U);
}

// A bug in an encoder must never cost evidence.
TEST(Seal, NoticesAnEncoderThatLies) {
  const auto columns = random_block(1000, 21, 3);
  const auto other = random_block(1000, 22, 3);
  const auto groups = groups_of(*columns);
  const auto lies = [&](const Columns&, uint32_t rows) { return encode_columns(*other, rows); };
  const auto sealed = seal_block(0, *columns, 1000, groups, {}, lies);
  ASSERT_FALSE(sealed.has_value());
  EXPECT_EQ(sealed.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(sealed.error().message.find("records 0 to 255"), std::string::npos) << sealed.error().message;
  const auto breaks = [&](const Columns& from, uint32_t rows) {
    auto sections = encode_columns(from, rows);
    sections.back().bytes.pop_back();
    return sections;
  };
  EXPECT_FALSE(seal_block(0, *columns, 1000, groups, {}, breaks).has_value());
}

// Everything that a reader of the whole file looks at.
Status read_whole(ByteView bytes) {
  MemoryFile file(bytes);
  const auto footer = read_segment_footer(file);
  if (!footer) return std::unexpected(footer.error());
  if (const auto columns = read_segment_columns(file, *footer); !columns) return std::unexpected(columns.error());
  if (const auto index = read_segment_section(file, footer->index); !index) return std::unexpected(index.error());
  return {};
}

TEST(Segment, EveryFlippedOrMissingByteIsNoticed) {
  const auto columns = random_block(40, 31, 1);
  Bytes file = seal_block(0, *columns, 40, groups_of(*columns), {}, encode_columns)->file;
  ASSERT_TRUE(read_whole(file).has_value());
  for (size_t at = 0; at < file.size(); ++at) {
    file[at] ^= 0x10;
    const Status read = read_whole(file);
    ASSERT_FALSE(read.has_value()) << at;
    EXPECT_NE(read.error().message.find("offset "), std::string::npos) << read.error().message;
    file[at] ^= 0x10;
  }
  for (size_t length = 0; length < file.size(); length += 7) EXPECT_FALSE(read_whole(ByteView(file).first(length)).has_value());
  file.push_back(0);
  EXPECT_FALSE(read_whole(file).has_value());
}

TEST(Segment, SaysWhenItIsNewerOrOlder) {
  const auto columns = random_block(10, 1, 2);
  Bytes file = seal_block(0, *columns, 10, groups_of(*columns), {}, encode_columns)->file;
  const auto read_as = [&](uint32_t version) {
    store_little(file.data() + 8, version);
    store_little(file.data() + 56, static_cast<uint64_t>(XXH3_64bits(file.data(), 56)));
    return read_whole(file).error();
  };
  EXPECT_EQ(read_as(kSegmentVersion + 1).code, ErrorCode::kNewer);
  EXPECT_EQ(read_as(kSegmentVersion - 1).code, ErrorCode::kBadInput);
  EXPECT_EQ(read_as(1).message, "segment format 1: written by an older portbook; this one reads format 2 only");
}

TEST(Segment, NamesAreReadAsTheyAreWritten) {
  EXPECT_EQ(segment_first_index(segment_file_name(65536)), 65536U);
  for (const char* name : {"segment-1", "segment-000000000000001.new", "log-000000000001"}) {
    EXPECT_EQ(segment_first_index(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace portbook
