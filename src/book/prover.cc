#include "book/prover.h"

#include <fmt/format.h>

#include <algorithm>

#include "record/cbor.h"

namespace portbook {

Result<std::vector<Hash>> leaf_hashes(const View& view, uint64_t first, uint32_t count) {
  std::vector<Hash> leaves;
  leaves.reserve(count);
  Record record;
  Bytes bytes;
  for (uint64_t index = first; index < first + count; ++index) {
    if (Status read = view.read(index, record); !read) return std::unexpected(read.error());
    bytes.clear();
    encode(record, bytes);
    leaves.push_back(leaf_hash(bytes));
  }
  return leaves;
}

Result<Bytes> entry_bundle(const View& view, const EntryBundle& bundle) {
  Bytes bundle_bytes;
  Record record;
  Bytes bytes;
  const uint64_t first = bundle.index * kTileWidth;
  for (uint64_t index = first; index < first + bundle.width; ++index) {
    if (Status read = view.read(index, record); !read) return std::unexpected(read.error());
    bytes.clear();
    encode(record, bytes);
    append_bundle_entry(bundle_bytes, bytes);
  }
  return bundle_bytes;
}

Result<Hash> LedgerNodes::kept_node(unsigned height, uint64_t index) const {
  const uint64_t first = index << height;
  const auto kept = ledger_.kept();
  const KeptGroup* cut = kept->cut_group_at(first / kGroupLeaves);
  const auto hash = cut == nullptr ? std::nullopt : node_in(*cut, height, (first % kGroupLeaves) >> height);
  if (hash) return *hash;
  return fail(ErrorCode::kNotFound,
              fmt::format("records {} to {} are no longer kept, and no checkpoint that was handed out ends there", first,
                          first + (uint64_t{1} << height) - 1));
}

Result<Hash> LedgerNodes::node(unsigned height, uint64_t index) {
  if (height >= kGroupHeight) return ledger_.node(height, index);
  const uint64_t first = index << height;
  const uint64_t group = first / kGroupLeaves;
  if (group * kGroupLeaves < view_.first_index()) return kept_node(height, index);
  if (group != group_) {
    const uint64_t begin = group * kGroupLeaves;
    auto leaves = leaf_hashes(view_, begin, static_cast<uint32_t>(std::min(kGroupLeaves, view_.size() - begin)));
    if (!leaves) return std::unexpected(leaves.error());
    leaves_ = std::move(*leaves);
    group_ = group;
  }
  CompactRange range;
  const auto begin = leaves_.begin() + static_cast<ptrdiff_t>(first % kGroupLeaves);
  std::for_each(begin, begin + (ptrdiff_t{1} << height), [&](const Hash& leaf) { range.append(leaf); });
  return range.root();
}

}  // namespace portbook
