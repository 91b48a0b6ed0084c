// The hashes of the ledger's tree: those from groups of 256 leaves up are kept, those below are computed from the records.
#pragma once

#include "book/ledger.h"
#include "merkle/proof.h"
#include "merkle/tile.h"
#include "store/view.h"

namespace portbook {

// The leaf hashes of the records [first, first + count). Errors: the view's.
Result<std::vector<Hash>> leaf_hashes(const View& view, uint64_t first, uint32_t count);

// The bytes of a C2SP entry bundle, all of whose records the view has. Errors: the view's.
Result<Bytes> entry_bundle(const View& view, const EntryBundle& bundle);

// For one proof or tile: keeps the leaf hashes of the group that it was asked for last.
class LedgerNodes final : public NodeReader {
 public:
  // Both must live as long as this object.
  LedgerNodes(const Ledger& ledger, const View& view) : ledger_(ledger), view_(view) {}
  // Errors: kNotFound: it belongs to records that are no longer kept; those of the view.
  Result<Hash> node(unsigned height, uint64_t index) override;

 private:
  // Below the first record that is kept.
  [[nodiscard]] Result<Hash> kept_node(unsigned height, uint64_t index) const;

  const Ledger& ledger_;
  const View& view_;
  uint64_t group_ = UINT64_MAX;
  std::vector<Hash> leaves_;
};

}  // namespace portbook
