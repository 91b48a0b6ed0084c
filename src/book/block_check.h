// Whether what a segment file says beside its columns follows from its records.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/block_facts.h"
#include "store/segment.h"

namespace portbook {

struct BlockFault {
  uint64_t offset = 0;  // in the segment file
  uint64_t record = 0;  // index of the first record that may be bad
  std::string what;
};

// "source_seq 7 of web-7/socket where 6 follows"
std::string describe(const SeqBreak& seq_break);

// The first thing that the footer or the index says of the block and its records do not: `facts` and `breaks` are what facts_of()
// made of its columns, `seqs` the sources' last numbers behind it, `index` the file's index.
std::optional<BlockFault> find_fault(const SegmentFooter& footer, const BlockFacts& facts, const Bytes& index,
                                     const SourceSeqs& seqs, const std::vector<SeqBreak>& breaks);

}  // namespace portbook
