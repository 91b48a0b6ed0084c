// What follows from a block's records alone: computed when it is sealed, stored beside it, and computed again when it is verified.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"
#include "record/record.h"
#include "store/block_keys.h"
#include "store/columns.h"
#include "store/sealed_index.h"

namespace portbook {

// Last source_seq of each source.
using SourceSeqs = std::map<std::string, uint64_t, std::less<>>;

struct BlockFacts {
  uint64_t time_min = UINT64_MAX;
  uint64_t time_max = 0;
  std::vector<Hash> groups;  // the Merkle hash of each 256 records; the last one of fewer, if rows are no multiple of 256
  Bytes index;
  std::array<uint32_t, kIndexPages> index_ends{};
  BlockKeys keys;  // not stored: what index runs are made of
};

// Where a source's sequence does not go on as it should.
struct SeqBreak {
  uint32_t row = 0;
  std::string source;
  uint64_t expected = 0;
  uint64_t found = 0;
};

// Rebuilds every record's bytes and hashes them. `seqs` goes on from the block before and is brought up to this block's end; places
// where a sequence breaks are appended to `breaks`.
BlockFacts facts_of(const Columns& columns, uint32_t rows, SourceSeqs& seqs, std::vector<SeqBreak>& breaks);

}  // namespace portbook
