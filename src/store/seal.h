// Turns a full block into a segment file, and proves before anything is given up that the file says the same.
#pragma once

#include <functional>

#include "store/segment.h"

namespace portbook {

using EncodeColumns = std::function<std::vector<ColumnSection>(const Columns&, uint32_t rows)>;

struct Sealed {
  Bytes file;
  SourceSeqs seqs;  // after this block
  BlockKeys keys;
};

// Encodes the block, decodes that again, rebuilds every record's bytes and compares the hashes of each 256 of them with `groups`,
// the tree's own. `seqs`: last source_seq of every source before this block. Errors: kCorrupt: what was encoded is not what was
// hashed; says where.
Result<Sealed> seal_block(uint64_t first_index, const Columns& columns, uint32_t rows, std::span<const Hash> groups,
                          SourceSeqs seqs, const EncodeColumns& encode);

}  // namespace portbook
