// The oracle for tests: RFC 6962 section 2.1 word for word, slow and obvious.
#pragma once

#include <string>
#include <vector>

#include "merkle/tree.h"

namespace portbook {

class NaiveTree {
 public:
  explicit NaiveTree(uint64_t leaves) {
    for (uint64_t i = 0; i < leaves; ++i) leaves_.push_back(leaf_hash(as_bytes("record " + std::to_string(i))));
  }

  [[nodiscard]] const Hash& leaf(uint64_t index) const { return leaves_[index]; }
  [[nodiscard]] Hash root(uint64_t size) const { return range(0, size); }

  // MTH(D[begin : begin + count]).
  [[nodiscard]] Hash range(uint64_t begin, uint64_t count) const {
    if (count == 0) return empty_root();
    if (count == 1) return leaves_[begin];
    const uint64_t k = split(count);
    return node_hash(range(begin, k), range(begin + k, count - k));
  }

  // PATH(m, D[n]).
  [[nodiscard]] std::vector<Hash> inclusion(uint64_t m, uint64_t n) const { return path(m, 0, n); }

  // PROOF(m, D[n]) = SUBPROOF(m, D[n], true).
  [[nodiscard]] std::vector<Hash> consistency(uint64_t m, uint64_t n) const { return subproof(m, 0, n, true); }

 private:
  static uint64_t split(uint64_t n) {
    uint64_t k = 1;
    while (k * 2 < n) k *= 2;
    return k;
  }

  [[nodiscard]] std::vector<Hash> path(uint64_t m, uint64_t begin, uint64_t n) const {
    if (n == 1) return {};
    const uint64_t k = split(n);
    std::vector<Hash> proof = m < k ? path(m, begin, k) : path(m - k, begin + k, n - k);
    proof.push_back(m < k ? range(begin + k, n - k) : range(begin, k));
    return proof;
  }

  [[nodiscard]] std::vector<Hash> subproof(uint64_t m, uint64_t begin, uint64_t n, bool whole) const {
    if (m == n) return whole ? std::vector<Hash>{} : std::vector<Hash>{range(begin, n)};
    const uint64_t k = split(n);
    std::vector<Hash> proof = m <= k ? subproof(m, begin, k, whole) : subproof(m - k, begin + k, n - k, false);
    proof.push_back(m <= k ? range(begin + k, n - k) : range(begin, k));
    return proof;
  }

  std::vector<Hash> leaves_;
};

class NaiveNodes final : public NodeReader {
 public:
  explicit NaiveNodes(const NaiveTree& tree) : tree_(tree) {}
  Result<Hash> node(unsigned height, uint64_t index) override { return tree_.range(index << height, uint64_t{1} << height); }

 private:
  const NaiveTree& tree_;
};

}  // namespace portbook
