// Proofs that a record is in a tree and that one tree extends another (RFC 6962 section 2.1, verified as in RFC 9162).
#pragma once

#include <cstdint>
#include <vector>

#include "merkle/tree.h"

namespace portbook {

// MTH of the leaves [0, size). Errors: those of the reader.
Result<Hash> root_of(NodeReader& nodes, uint64_t size);

// The hashes that prove leaf `index` is in the tree of `size` leaves, lowest level first.
// Shape: at most 64 hashes; empty when size is 1. Needs index < size, or it aborts. Errors: those of the reader.
// Source: RFC 6962 section 2.1.1, PATH(m, D[n]).
Result<std::vector<Hash>> inclusion_proof(NodeReader& nodes, uint64_t index, uint64_t size);

// The hashes that prove that the tree of `new_size` leaves extends the tree of `old_size`.
// Shape: at most 65 hashes; empty when the sizes are the same. Needs 0 < old_size <= new_size, or it aborts.
// Source: RFC 6962 section 2.1.2, PROOF(m, D[n]).
Result<std::vector<Hash>> consistency_proof(NodeReader& nodes, uint64_t old_size, uint64_t new_size);

// What a verifier was given: a tree's size and root.
struct TreeHead {
  uint64_t size = 0;
  Hash root{};
  bool operator==(const TreeHead&) const = default;
};

// Errors: kBadInput with what does not hold. Source: RFC 9162 section 2.1.3.2.
Status verify_inclusion(const Hash& leaf, uint64_t index, const TreeHead& head, const std::vector<Hash>& proof);
// Errors: kBadInput with what does not hold; an old size of 0 proves nothing and is refused. Source: RFC 9162 section 2.1.4.2.
Status verify_consistency(const TreeHead& old_head, const TreeHead& new_head, const std::vector<Hash>& proof);

}  // namespace portbook
