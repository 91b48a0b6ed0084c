// A segment file: one sealed block, written once and never changed. docs/formats/segment.md has the offsets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/block_facts.h"
#include "store/column_codec.h"
#include "store/disk.h"

namespace portbook {

inline constexpr uint32_t kSegmentVersion = 2;
inline constexpr size_t kSegmentHeaderBytes = 64;
inline constexpr size_t kSegmentTrailerBytes = 32;
inline constexpr uint64_t kSegmentBytesMax = uint64_t{4} << 30;

std::string segment_file_name(uint64_t first_index);
// The first index in such a name; nothing if it is none.
std::optional<uint64_t> segment_first_index(std::string_view name);

// Where a column's or the index's bytes stand in the file.
struct SegmentSection {
  std::optional<Field> field;  // none: the shapes, if it comes first, else the index
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t checksum = 0;  // XXH3-64
};

// All but the columns' and the index's bytes.
struct SegmentFooter {
  uint64_t first_index = 0;
  uint64_t file_bytes = 0;  // of the whole file; not written in it
  uint32_t rows = 0;
  uint64_t time_min = 0;
  uint64_t time_max = 0;
  std::vector<SegmentSection> columns;  // shapes first, then fields ascending
  SegmentSection index;
  std::array<uint32_t, kIndexPages> index_ends{};
  std::array<uint64_t, kIndexPages> index_checksums{};  // XXH3-64 of each page
  std::vector<Hash> groups;                             // level 1 of the tree
  SourceSeqs seqs;                                      // last source_seq of every source so far
};

// The whole file's bytes.
Bytes encode_segment(uint64_t first_index, uint32_t rows, const std::vector<ColumnSection>& columns, const BlockFacts& facts,
                     const SourceSeqs& seqs);

// Reads header, trailer and footer, and checks that with the sections they account for every byte of the file.
// Errors: kIo; kCorrupt with the offset; kNewer; kBadInput: of a version that is no longer read.
Result<SegmentFooter> read_segment_footer(File& file);

// Reads the sections, checks their checksums, decodes. Errors: kIo; kCorrupt with the offset.
Result<std::unique_ptr<Columns>> read_segment_columns(File& file, const SegmentFooter& footer);
// The same of the `wanted` columns only; and those that `columns`, read from the same segment, lacks (one thread at a time).
Result<std::unique_ptr<Columns>> read_segment_columns(File& file, const SegmentFooter& footer, const FieldSet& wanted);
Status read_more_segment_columns(File& file, const SegmentFooter& footer, const FieldSet& wanted, Columns& columns);
// The bytes of a section whose checksum is right. Errors as above.
Result<Bytes> read_segment_section(File& file, const SegmentSection& section);
// A page of the index, whose checksum is right. Needs page < kIndexPages. Errors as above.
Result<Bytes> read_index_page(File& file, const SegmentFooter& footer, size_t page);
// That page does not decode.
std::unexpected<Error> bad_index_page(const SegmentFooter& footer, size_t page);

}  // namespace portbook
