#include "store/joint_dictionary.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace portbook {

namespace {

// By hash alone. A slot has an id plus one, and beside it half of the hash, so that most others are told apart there.
JointDictionary group(const std::vector<uint64_t>& hashes) {
  struct Slot {
    uint32_t half_hash = 0;
    uint32_t id_plus_one = 0;
  };
  JointDictionary joint;
  joint.ids.resize(hashes.size());
  const auto bits = static_cast<unsigned>(std::bit_width(hashes.size()));
  std::vector<Slot> slots(size_t{1} << bits);
  for (uint32_t row = 0; row < hashes.size(); ++row) {
    const auto half_hash = static_cast<uint32_t>(hashes[row]);
    size_t at = hashes[row] >> (64 - bits);
    const auto other = [&](const Slot& slot) {
      return slot.half_hash != half_hash || hashes[joint.firsts[slot.id_plus_one - 1]] != hashes[row];
    };
    while (slots[at].id_plus_one != 0 && other(slots[at])) at = (at + 1) & (slots.size() - 1);
    if (slots[at].id_plus_one == 0) {
      joint.firsts.push_back(row);
      slots[at] = {half_hash, static_cast<uint32_t>(joint.firsts.size())};
    }
    joint.ids[row] = slots[at].id_plus_one - 1;
  }
  return joint;
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
  std::vector<uint32_t> first_of(rows);
  for (uint32_t row = 0; row < rows; ++row) first_of[row] = joint.firsts[joint.ids[row]];
  const auto same_as_first = [&](const auto* column) {
    uint64_t differences = 0;
    for (uint32_t row = 0; row < rows; ++row) differences |= (*column)[row] ^ (*column)[first_of[row]];
    return differences == 0;
  };
  if (std::ranges::all_of(varying, same_as_first)) return joint;
  joint.ids.resize(rows);
  std::iota(joint.ids.begin(), joint.ids.end(), 0U);
  joint.firsts = joint.ids;
  return joint;
}

}  // namespace portbook
