#include "store/joint_dictionary.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace portbook {

namespace {

// By hash alone.
JointDictionary group(const std::vector<uint64_t>& hashes) {
  JointDictionary joint;
  joint.ids.reserve(hashes.size());
  const auto bits = static_cast<unsigned>(std::bit_width(hashes.size())) + 1;
  std::vector<uint32_t> slots(size_t{1} << bits);  // id plus one
  for (uint32_t row = 0; row < hashes.size(); ++row) {
    size_t slot = hashes[row] >> (64 - bits);
    while (slots[slot] != 0 && hashes[joint.firsts[slots[slot] - 1]] != hashes[row]) slot = (slot + 1) & (slots.size() - 1);
    if (slots[slot] == 0) {
      joint.firsts.push_back(row);
      slots[slot] = static_cast<uint32_t>(joint.firsts.size());
    }
    joint.ids.push_back(slots[slot] - 1);
  }
  return joint;
}

bool same_as_first(const std::vector<uint64_t>& column, const JointDictionary& joint) {
  bool same = true;
  for (size_t row = 0; row < joint.ids.size(); ++row) same &= column[row] == column[joint.firsts[joint.ids[row]]];
  return same;
}

}  // namespace

JointDictionary find_joint(std::span<const std::vector<uint64_t>* const> columns, uint32_t rows) {
  std::vector<const std::vector<uint64_t>*> varying;
  for (const auto* const column : columns) {
    if (std::ranges::adjacent_find(*column, std::not_equal_to()) != column->end()) varying.push_back(column);
  }
  std::vector<uint64_t> hashes(rows);
  for (const auto* const column : varying) {
    for (uint32_t row = 0; row < rows; ++row) hashes[row] = joint_hash(hashes[row], (*column)[row]);
  }
  JointDictionary joint = group(hashes);
  if (std::ranges::all_of(varying, [&](const auto* column) { return same_as_first(*column, joint); })) return joint;
  joint.ids.resize(rows);
  std::iota(joint.ids.begin(), joint.ids.end(), 0U);
  joint.firsts = joint.ids;
  return joint;
}

}  // namespace portbook
