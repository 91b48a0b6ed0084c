#include "store/joint_dictionary.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace portbook {
namespace {

using Column = std::vector<uint64_t>;

JointDictionary join(const std::vector<Column>& columns) {
  std::vector<const Column*> pointers;
  for (const Column& column : columns) pointers.push_back(&column);
  return find_joint(pointers, static_cast<uint32_t>(columns[0].size()));
}

TEST(JointDictionary, NumbersCombinationsInOrderOfAppearance) {
  std::mt19937_64 random(4);
  for (const uint32_t rows : {1U, 2U, 100U, 5000U}) {
    std::vector<Column> columns(3, Column(rows));
    for (Column& column : columns) {
      for (uint64_t& value : column) value = random() % 9;
    }
    std::map<std::vector<uint64_t>, uint32_t> plain;
    const JointDictionary joint = join(columns);
    for (uint32_t row = 0; row < rows; ++row) {
      const auto [known, is_new] = plain.try_emplace({columns[0][row], columns[1][row], columns[2][row]}, plain.size());
      ASSERT_EQ(joint.ids[row], known->second);
      if (is_new) EXPECT_EQ(joint.firsts[known->second], row);
    }
    EXPECT_EQ(joint.firsts.size(), plain.size());
  }
}

TEST(JointDictionary, RowsOfOneHashStayApart) {
  // The second row's second value makes up for its first one.
  const uint64_t made_up = joint_hash(0, 1) ^ 5 ^ joint_hash(0, 2);
  const JointDictionary joint = join({{1, 2, 1, 1}, {5, made_up, 5, 6}});
  ASSERT_EQ(joint_hash(joint_hash(0, 1), 5), joint_hash(joint_hash(0, 2), made_up));
  EXPECT_EQ(joint.ids, (std::vector<uint32_t>{0, 1, 2, 3})) << "each row by itself";
  EXPECT_EQ(joint.firsts, joint.ids);
}

}  // namespace
}  // namespace portbook
