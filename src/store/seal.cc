#include "store/seal.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portbook {

Result<Sealed> seal_block(uint64_t first_index, const Columns& columns, uint32_t rows, std::span<const Hash> groups,
                          SourceSeqs seqs, const EncodeColumns& encode) {
  const std::vector<ColumnSection> sections = encode(columns, rows);
  std::vector<ColumnSectionView> views;
  for (const ColumnSection& section : sections) views.push_back({section.field, section.bytes});
  const auto decoded = decode_columns(views, rows);
  if (!decoded) return std::unexpected(decoded.error());
  std::vector<SeqBreak> breaks;
  BlockFacts facts = facts_of(**decoded, rows, seqs, breaks);
  PB_CHECK(facts.groups.size() == groups.size());
  const auto differs = std::ranges::mismatch(facts.groups, groups);
  if (differs.in1 != facts.groups.end()) {
    const uint64_t first = first_index + static_cast<uint64_t>(differs.in1 - facts.groups.begin()) * 256;
    return fail(ErrorCode::kCorrupt,
                fmt::format("the encoded records {} to {} are not the ones that were hashed", first, first + 255));
  }
  if (!breaks.empty()) {
    return fail(ErrorCode::kCorrupt, fmt::format("record {}: source_seq {} of {} where {} follows", first_index + breaks[0].row,
                                                 breaks[0].found, breaks[0].source, breaks[0].expected));
  }
  Bytes file = encode_segment(first_index, rows, sections, facts, seqs);
  return Sealed{std::move(file), std::move(seqs), std::move(facts.keys)};
}

}  // namespace portbook
