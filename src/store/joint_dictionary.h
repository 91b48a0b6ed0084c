// The different combinations of several columns' values, and which of them each row has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace portbook {

struct JointDictionary {
  std::vector<uint32_t> ids;     // of each row; numbered in order of first appearance
  std::vector<uint32_t> firsts;  // the row in which each appears first
};

// `columns`: each of `rows` values. Rows are told apart exactly: where two different ones cannot be told apart by their hash, each
// row becomes an entry of its own.
JointDictionary find_joint(std::span<const std::vector<uint64_t>* const> columns, uint32_t rows);

// The hash of a row goes on from column to column, from 0.
constexpr uint64_t joint_hash(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15U;
  return hash ^ hash >> 32;
}

}  // namespace portbook
