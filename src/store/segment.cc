#include "store/segment.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "store/block_layout.h"
#include "store/byte_reader.h"

namespace portbook {

namespace {

constexpr std::array<Byte, 8> kHeaderMagic = {'P', 'B', 'S', 'E', 'G', '\r', '\n', 0x1a};
constexpr std::array<Byte, 8> kTrailerMagic = {'P', 'B', 'S', 'E', 'G', 'E', 'N', 'D'};
constexpr std::string_view kPrefix = "segment-";
constexpr uint8_t kNoField = 255;
constexpr uint64_t kFooterBytesMax = 16 * 1024 * 1024;
constexpr uint32_t kSourcesMax = 100'000;

uint64_t checksum_of(ByteView bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::unexpected<Error> corrupt(uint64_t offset, std::string_view what) {
  return fail(ErrorCode::kCorrupt, fmt::format("offset {}: {}", offset, what));
}

std::array<Byte, kSegmentHeaderBytes> encode_header(uint64_t first_index, uint32_t rows) {
  std::array<Byte, kSegmentHeaderBytes> bytes{};
  std::ranges::copy(kHeaderMagic, bytes.begin());
  store_little(bytes.data() + 8, kSegmentVersion);
  store_little(bytes.data() + 12, rows);
  store_little(bytes.data() + 16, first_index);
  store_little(bytes.data() + 56, checksum_of(ByteView(bytes).first(56)));
  return bytes;
}

Status parse_header(ByteView bytes, SegmentFooter& footer) {
  if (bytes.size() != kSegmentHeaderBytes || !std::equal(kHeaderMagic.begin(), kHeaderMagic.end(), bytes.begin())) {
    return corrupt(0, "this is not a segment file");
  }
  if (load_little<uint64_t>(bytes.data() + 56) != checksum_of(bytes.first(56)))
    return corrupt(0, "the file header's checksum is wrong");
  const auto version = load_little<uint32_t>(bytes.data() + 8);
  if (version > kSegmentVersion)
    return fail(ErrorCode::kNewer, fmt::format("segment format {}: written by a newer portbook", version));
  if (version < kSegmentVersion) {
    return fail(ErrorCode::kBadInput, fmt::format("segment format {}: written by an older portbook; this one reads format {} only",
                                                  version, kSegmentVersion));
  }
  footer.rows = load_little<uint32_t>(bytes.data() + 12);
  footer.first_index = load_little<uint64_t>(bytes.data() + 16);
  if (!std::ranges::equal(encode_header(footer.first_index, footer.rows), bytes) || footer.rows == 0 ||
      footer.rows > kBlockRowsMax) {
    return corrupt(0, "the file header has values that mean nothing");
  }
  return {};
}

// Footer and trailer alike follow the sections without a hole.
struct Trailer {
  uint64_t footer_offset = 0;
  uint64_t footer_length = 0;
  uint64_t footer_checksum = 0;
};

Result<Trailer> parse_trailer(ByteView bytes, uint64_t file_size) {
  const uint64_t at = file_size - kSegmentTrailerBytes;
  const Trailer trailer{load_little<uint64_t>(bytes.data()), load_little<uint64_t>(bytes.data() + 8),
                        load_little<uint64_t>(bytes.data() + 16)};
  if (!std::equal(kTrailerMagic.begin(), kTrailerMagic.end(), bytes.begin() + 24))
    return corrupt(at, "the file does not end as a segment does");
  if (trailer.footer_offset < kSegmentHeaderBytes || trailer.footer_offset > at ||
      trailer.footer_length != at - trailer.footer_offset || trailer.footer_length > kFooterBytesMax) {
    return corrupt(at, "the trailer does not point to the footer");
  }
  return trailer;
}

void append_section(Bytes& out, const SegmentSection& section) {
  out.push_back(section.field ? static_cast<Byte>(*section.field) : kNoField);
  append_little(out, section.offset);
  append_little(out, section.length);
  append_little(out, section.checksum);
}

bool take_section(ByteReader& in, SegmentSection& section) {
  Byte field = 0;
  if (!in.take(field) || !in.take(section.offset) || !in.take(section.length) || !in.take(section.checksum)) return false;
  if (field != kNoField && field >= kFieldCount) return false;
  section.field = field == kNoField ? std::nullopt : std::optional(static_cast<Field>(field));
  return true;
}

Bytes encode_footer(const SegmentFooter& footer) {
  Bytes out;
  append_little(out, footer.time_min);
  append_little(out, footer.time_max);
  append_little(out, static_cast<uint32_t>(footer.columns.size()));
  for (const SegmentSection& section : footer.columns) append_section(out, section);
  append_section(out, footer.index);
  for (size_t page = 0; page < kIndexPages; ++page) {
    append_little(out, footer.index_ends[page]);
    append_little(out, footer.index_checksums[page]);
  }
  append_little(out, static_cast<uint32_t>(footer.groups.size()));
  for (const Hash& group : footer.groups) append(out, group);
  append_little(out, static_cast<uint32_t>(footer.seqs.size()));
  for (const auto& [source, seq] : footer.seqs) {
    append_little(out, static_cast<uint16_t>(source.size()));
    append(out, as_bytes(source));
    append_little(out, seq);
  }
  return out;
}

bool take_groups(ByteReader& in, SegmentFooter& footer) {
  uint32_t count = 0;
  if (!in.take(count) || count != (footer.rows + 255) / 256) return false;
  for (uint32_t i = 0; i < count; ++i) {
    ByteView hash;
    if (!in.take_bytes(32, hash)) return false;
    std::ranges::copy(hash, footer.groups.emplace_back().begin());
  }
  return true;
}

bool take_seqs(ByteReader& in, SegmentFooter& footer) {
  uint32_t count = 0;
  if (!in.take(count) || count > kSourcesMax) return false;
  for (uint32_t i = 0; i < count; ++i) {
    uint16_t length = 0;
    ByteView source;
    uint64_t seq = 0;
    if (!in.take(length) || !in.take_bytes(length, source) || !in.take(seq)) return false;
    footer.seqs.insert_or_assign(std::string(as_text(source)), seq);
  }
  return true;
}

bool take_footer(ByteView bytes, SegmentFooter& footer) {
  ByteReader in(bytes);
  uint32_t columns = 0;
  if (!in.take(footer.time_min) || !in.take(footer.time_max) || !in.take(columns) || columns > kFieldCount + 1) return false;
  footer.columns.resize(columns);
  for (SegmentSection& section : footer.columns) {
    if (!take_section(in, section)) return false;
  }
  if (!take_section(in, footer.index) || footer.index.field) return false;
  for (size_t page = 0; page < kIndexPages; ++page) {
    if (!in.take(footer.index_ends[page]) || !in.take(footer.index_checksums[page])) return false;
    if (page > 0 && footer.index_ends[page] < footer.index_ends[page - 1]) return false;
  }
  if (footer.index_ends.back() != footer.index.length) return false;
  return take_groups(in, footer) && take_seqs(in, footer) && in.done();
}

// Sections stand one after the other from the header to the footer: no byte is unaccounted for.
Status check_sections(const SegmentFooter& footer, uint64_t footer_offset) {
  uint64_t at = kSegmentHeaderBytes;
  for (size_t i = 0; i <= footer.columns.size(); ++i) {
    const SegmentSection& section = i < footer.columns.size() ? footer.columns[i] : footer.index;
    if (section.offset != at || section.length > footer_offset - at)
      return corrupt(footer_offset, "the directory leaves out bytes of the file");
    at += section.length;
  }
  if (at != footer_offset) return corrupt(at, "bytes that belong to nothing");
  return {};
}

// Fills `into` from the file, or says that the file is too short.
Status read_exactly(File& file, uint64_t offset, std::span<Byte> into) {
  const auto got = file.read_at(offset, into);
  if (!got) return std::unexpected(got.error());
  if (*got != into.size()) return corrupt(offset, "the file is cut short");
  return {};
}

}  // namespace

std::string segment_file_name(uint64_t first_index) {
  return fmt::format("{}{:015}", kPrefix, first_index);
}

std::optional<uint64_t> segment_first_index(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  uint64_t first = 0;
  std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), first);
  if (segment_file_name(first) != name) return std::nullopt;
  return first;
}

Bytes encode_segment(uint64_t first_index, uint32_t rows, const std::vector<ColumnSection>& columns, const BlockFacts& facts,
                     const SourceSeqs& seqs) {
  Bytes file;
  append(file, encode_header(first_index, rows));
  SegmentFooter footer;
  footer.first_index = first_index;
  footer.rows = rows;
  footer.time_min = facts.time_min;
  footer.time_max = facts.time_max;
  for (const ColumnSection& column : columns) {
    footer.columns.push_back({column.field, file.size(), column.bytes.size(), checksum_of(column.bytes)});
    append(file, column.bytes);
  }
  footer.index = {std::nullopt, file.size(), facts.index.size(), checksum_of(facts.index)};
  append(file, facts.index);
  footer.index_ends = facts.index_ends;
  for (size_t page = 0, begin = 0; page < kIndexPages; begin = facts.index_ends[page++]) {
    footer.index_checksums[page] = checksum_of(ByteView(facts.index).subspan(begin, facts.index_ends[page] - begin));
  }
  footer.groups = facts.groups;
  footer.seqs = seqs;
  const uint64_t footer_offset = file.size();
  const Bytes footer_bytes = encode_footer(footer);
  append(file, footer_bytes);
  append_little(file, footer_offset);
  append_little(file, static_cast<uint64_t>(footer_bytes.size()));
  append_little(file, checksum_of(footer_bytes));
  append(file, kTrailerMagic);
  return file;
}

Result<SegmentFooter> read_segment_footer(File& file) {
  const auto size = file.size();
  if (!size) return std::unexpected(size.error());
  if (*size < kSegmentHeaderBytes + kSegmentTrailerBytes) return corrupt(*size, "the file is cut short");
  if (*size > kSegmentBytesMax) return corrupt(0, "the file is too long for a segment");
  SegmentFooter footer;
  footer.file_bytes = *size;
  std::array<Byte, kSegmentHeaderBytes> header;
  if (Status read = read_exactly(file, 0, header); !read) return std::unexpected(read.error());
  if (Status parsed = parse_header(header, footer); !parsed) return std::unexpected(parsed.error());
  std::array<Byte, kSegmentTrailerBytes> trailer_bytes;
  if (Status read = read_exactly(file, *size - kSegmentTrailerBytes, trailer_bytes); !read) return std::unexpected(read.error());
  const auto trailer = parse_trailer(trailer_bytes, *size);
  if (!trailer) return std::unexpected(trailer.error());
  Bytes bytes(trailer->footer_length);
  if (Status read = read_exactly(file, trailer->footer_offset, bytes); !read) return std::unexpected(read.error());
  if (checksum_of(bytes) != trailer->footer_checksum) return corrupt(trailer->footer_offset, "the footer's checksum is wrong");
  if (!take_footer(bytes, footer)) return corrupt(trailer->footer_offset, "the footer does not decode");
  if (Status sections = check_sections(footer, trailer->footer_offset); !sections) return std::unexpected(sections.error());
  return footer;
}

Result<Bytes> read_segment_section(File& file, const SegmentSection& section) {
  Bytes bytes(section.length);
  if (Status read = read_exactly(file, section.offset, bytes); !read) return std::unexpected(read.error());
  if (checksum_of(bytes) == section.checksum) return bytes;
  return corrupt(section.offset,
                 fmt::format("the checksum of the column of {} is wrong", section.field ? info(*section.field).name : "shapes"));
}

namespace {

// The bytes of some columns, and where they belong.
struct SectionsRead {
  std::vector<Bytes> kept;
  std::vector<ColumnSectionView> views;
};
Result<SectionsRead> read_sections(File& file, const SegmentFooter& footer, const FieldSet& wanted) {
  const FieldSet needed = with_near_fields(wanted);
  SectionsRead read;
  read.kept.reserve(footer.columns.size());
  for (const SegmentSection& section : footer.columns) {
    if (section.field && !needed.has(*section.field)) continue;
    auto bytes = read_segment_section(file, section);
    if (!bytes) return std::unexpected(bytes.error());
    read.kept.push_back(std::move(*bytes));
    read.views.push_back({section.field, read.kept.back()});
  }
  return read;
}

// Decoding found it: no column in particular is to blame for what lacks.
std::unexpected<Error> in_columns(const Error& error) {
  return fail(error.code, fmt::format("offset {}: {}", kSegmentHeaderBytes, error.message));
}

}  // namespace

Result<std::unique_ptr<Columns>> read_segment_columns(File& file, const SegmentFooter& footer) {
  const auto sections = read_sections(file, footer, kEveryField);
  if (!sections) return std::unexpected(sections.error());
  auto columns = decode_columns(sections->views, footer.rows);
  if (!columns) return in_columns(columns.error());
  return columns;
}

Result<std::unique_ptr<Columns>> read_segment_columns(File& file, const SegmentFooter& footer, const FieldSet& wanted) {
  const auto sections = read_sections(file, footer, wanted);
  if (!sections) return std::unexpected(sections.error());
  auto columns = decode_columns(sections->views, footer.rows, wanted);
  if (!columns) return in_columns(columns.error());
  return columns;
}

Status read_more_segment_columns(File& file, const SegmentFooter& footer, const FieldSet& wanted, Columns& columns) {
  const FieldSet lacking = wanted.without(columns.held());
  if (lacking.empty()) return {};
  const auto sections = read_sections(file, footer, lacking);
  if (!sections) return std::unexpected(sections.error());
  if (Status added = decode_more_columns(sections->views, lacking, columns); !added) return in_columns(added.error());
  return {};
}

Result<Bytes> read_index_page(File& file, const SegmentFooter& footer, size_t page) {
  const uint32_t begin = page == 0 ? 0 : footer.index_ends[page - 1];
  const uint64_t offset = footer.index.offset + begin;
  Bytes bytes(footer.index_ends[page] - begin);
  if (Status read = read_exactly(file, offset, bytes); !read) return std::unexpected(read.error());
  if (checksum_of(bytes) != footer.index_checksums[page]) return corrupt(offset, "the checksum of an index page is wrong");
  return bytes;
}

std::unexpected<Error> bad_index_page(const SegmentFooter& footer, size_t page) {
  return corrupt(footer.index.offset + (page == 0 ? 0 : footer.index_ends[page - 1]), "an index page does not decode");
}

}  // namespace portbook
