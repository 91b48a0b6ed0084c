// A segment's bytes may be anything: reading them ends in columns that can be read, or in an error. Checksums keep a fuzzer out, so
// the parts behind them are also fuzzed by themselves: the first byte of the input chooses.
#include "base/check.h"
#include "record/cbor.h"
#include "store/memory_file.h"
#include "store/numbers.h"
#include "store/packed_block.h"
#include "store/sealed_index.h"
#include "store/segment.h"

using namespace portbook;

namespace {

void read_everything(const Columns& columns) {
  Record record;
  Bytes bytes;
  for (uint32_t row = 0; row < columns.rows(); ++row) {
    columns.read(row, record);
    bytes.clear();
    if (record.has(Field::kKind)) encode(record, bytes);
  }
}

void fuzz_file(ByteView bytes) {
  MemoryFile file(bytes);
  const auto footer = read_segment_footer(file);
  if (!footer) return;
  if (const auto columns = read_segment_columns(file, *footer)) read_everything(**columns);
  std::vector<uint32_t> rows;
  const auto page = read_index_page(file, *footer, index_page_of(77));
  if (page && !find_in_index_page(*page, 77, footer->rows, rows)) rows.clear();
}

// u16 rows, then sections: u8 field, u16 length, bytes.
void fuzz_columns(ByteView bytes) {
  ByteReader in(bytes);
  uint16_t rows = 0;
  if (!in.take(rows)) return;
  std::vector<ColumnSectionView> sections;
  uint8_t field = 0;
  uint16_t length = 0;
  ByteView section;
  while (in.take(field) && in.take(length) && in.take_bytes(length, section)) {
    sections.push_back({field < kFieldCount ? std::optional(static_cast<Field>(field)) : std::nullopt, section});
  }
  rows %= 512;
  const auto columns = decode_columns(sections, rows);
  if (!columns) return;
  read_everything(**columns);
  // Each row by itself gives the same.
  const auto block = PackedBlock::open(sections[0].bytes, rows);
  PB_CHECK(block.has_value());
  for (const ColumnSectionView& of : std::span(sections).subspan(1)) PB_CHECK((*block)->add(*of.field, of.bytes).has_value());
  Record whole;
  Record single;
  for (uint32_t row = 0; row < rows; ++row) {
    (*columns)->read(row, whole);
    PB_CHECK((*block)->read(row, single).has_value() && single == whole);
  }
}

// What decode() accepts is what get() gives.
void fuzz_numbers(ByteView bytes) {
  ByteReader in(bytes);
  uint16_t count = 0;
  if (!in.take(count)) return;
  const auto array = open_numbers(in, count);
  std::vector<uint64_t> numbers(count);
  if (!array || !array->decode(numbers)) return;
  for (size_t i = 0; i < count; i += 1 + i / 8) {
    uint64_t number = 0;
    PB_CHECK(array->get(i, number) && number == numbers[i]);
  }
}

void fuzz_index_page(ByteView bytes) {
  std::vector<uint32_t> rows;
  ByteReader in(bytes);
  RowKey key = 0;
  if (in.take(key) && !find_in_index_page(in.rest(), key, kBlockRowsMax, rows)) rows.clear();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const ByteView rest(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0: fuzz_file(rest); break;
    case 1: fuzz_columns(rest); break;
    case 2: fuzz_numbers(rest); break;
    default: fuzz_index_page(rest); break;
  }
  return 0;
}
