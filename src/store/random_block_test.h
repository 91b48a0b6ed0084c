// Blocks for tests: of arbitrary records, and of records that repeat each other as those of a network do.
#pragma once

#include <memory>
#include <vector>

#include "merkle/tree.h"
#include "record/cbor.h"
#include "record/random_record.h"
#include "store/columns.h"

namespace portbook {

inline Bytes bytes_of(const Columns& columns, uint32_t row) {
  Record record;
  columns.read(row, record);
  Bytes bytes;
  encode(record, bytes);
  return bytes;
}

// Random records of two sources whose sequences are gap-free.
inline std::unique_ptr<Columns> random_block(uint32_t rows, uint64_t seed, unsigned fields_of_ten) {
  auto columns = std::make_unique<Columns>();
  RandomRecords random(seed);
  Record record;
  uint64_t seqs[2] = {0, 0};
  for (uint32_t row = 0; row < rows; ++row) {
    random.next(record, fields_of_ten);
    const size_t source = random.below(2);
    record.set(Field::kSource, source == 0 ? "web-7/socket" : "web-7/nat");
    record.set(Field::kSourceSeq, ++seqs[source]);
    record.remove(Field::kCut);
    columns->append(record);
  }
  columns->publish();
  return columns;
}

// Records like those of a network: each row is one of a few connections again, with some of its fields changed.
inline std::unique_ptr<Columns> repeating_block(uint32_t rows, uint64_t seed) {
  auto columns = std::make_unique<Columns>();
  RandomRecords random(seed);
  std::vector<Record> known(1 + rows / 10);
  for (Record& record : known) random.next(record, 6);
  Record other;
  for (uint32_t row = 0; row < rows; ++row) {
    Record& record = known[random.below(known.size())];
    random.next(other, 5);
    if (other.has(Field::kTime) && random.below(8) > 0) record.set(Field::kTime, other.time());
    if (other.has(Field::kClockError) && random.below(20) == 0) record.set(Field::kClockError, other.uint(Field::kClockError));
    record.set(Field::kKind, other.kind());
    if (record.has(Field::kTime) && random.below(2) == 0) record.set(Field::kEnd, record.time());
    if (random.below(9) == 0) record.remove(Field::kTime);
    if (random.below(3) == 0) record.remove(Field::kEnd);
    if (record.has(Field::kSrcPort) && random.below(2) == 0) record.set(Field::kSrcNatPort, record.uint(Field::kSrcPort));
    columns->append(record);
  }
  columns->publish();
  return columns;
}

inline std::vector<Hash> groups_of(const Columns& columns) {
  std::vector<Hash> groups;
  CompactRange range;
  for (uint32_t row = 0; row < columns.rows(); ++row) {
    range.append(leaf_hash(bytes_of(columns, row)));
    if (range.size() == 256 || row + 1 == columns.rows()) {
      groups.push_back(range.root());
      range = {};
    }
  }
  return groups;
}

}  // namespace portbook
