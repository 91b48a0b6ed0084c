#include "book/block_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "merkle/tree.h"

namespace portbook {

std::string describe(const SeqBreak& seq_break) {
  return fmt::format("source_seq {} of {} where {} follows", seq_break.found, seq_break.source, seq_break.expected);
}

std::optional<BlockFault> find_fault(const SegmentFooter& footer, const BlockFacts& facts, const Bytes& index,
                                     const SourceSeqs& seqs, const std::vector<SeqBreak>& breaks) {
  const uint64_t first = footer.first_index;
  const uint64_t columns_at = footer.columns.front().offset;
  const uint64_t footer_at = footer.index.offset + footer.index.length;
  const auto differs = std::ranges::mismatch(facts.groups, footer.groups);
  if (differs.in1 != facts.groups.end() || differs.in2 != footer.groups.end()) {
    const uint64_t record = first + static_cast<uint64_t>(differs.in1 - facts.groups.begin()) * kGroupLeaves;
    return BlockFault{columns_at, record, "the 256 records from here on do not hash to what the file says"};
  }
  if (!breaks.empty()) return BlockFault{columns_at, first + breaks[0].row, describe(breaks[0])};
  if (facts.index != index || facts.index_ends != footer.index_ends)
    return BlockFault{footer.index.offset, first, "the index does not agree with the records"};
  if (facts.time_min != footer.time_min || facts.time_max != footer.time_max)
    return BlockFault{footer_at, first, "the least or greatest time does not agree with the records"};
  if (seqs != footer.seqs) return BlockFault{footer_at, first, "the sources' last sequence numbers do not agree with the records"};
  return std::nullopt;
}

}  // namespace portbook
