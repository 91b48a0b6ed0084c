#include "store/texts.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace portbook {
namespace {

std::vector<std::string> make(size_t count, size_t length_max, std::mt19937_64& random) {
  std::vector<std::string> texts(count);
  for (std::string& text : texts) {
    const size_t length = random() % (length_max + 1);
    while (text.size() < length) text += static_cast<char>(random() % 7 == 0 ? random() : 'a' + random() % 4);
  }
  return texts;
}

Bytes encoded(const std::vector<std::string>& texts) {
  Bytes bytes;
  encode_texts(std::vector<std::string_view>(texts.begin(), texts.end()), bytes);
  return bytes;
}

TEST(Texts, GiveBackEveryTextInAnyOrder) {
  std::mt19937_64 random(8);
  for (const size_t count : {1UL, 2UL, 300UL, 3000UL}) {
    for (const size_t length_max : {0UL, 1UL, 40UL, 16384UL}) {
      if (count * length_max > 8'000'000) continue;
      const auto texts = make(count, length_max, random);
      const Bytes bytes = encoded(texts);
      ByteReader in(bytes);
      Texts back;
      ASSERT_TRUE(back.open(in, static_cast<uint32_t>(count), length_max)) << count << " " << length_max;
      EXPECT_TRUE(in.done());
      ASSERT_EQ(back.count(), count);
      for (size_t i = 0; i < count * 2; ++i) {
        const auto id = static_cast<uint32_t>(i < count ? i : random() % count);
        std::string_view text;
        ASSERT_TRUE(back.get(id, text));
        ASSERT_EQ(text, texts[id]) << count << " " << length_max << " " << id;
      }
    }
  }
}

TEST(Texts, MoreOrLongerOnesThanThereCanBeAreRefused) {
  const Bytes bytes = encoded({"a", "bcd", "ef"});
  ByteReader enough(bytes);
  EXPECT_TRUE(Texts().open(enough, 3, 3));
  ByteReader few(bytes);
  EXPECT_FALSE(Texts().open(few, 2, 3));
  ByteReader brief(bytes);
  EXPECT_FALSE(Texts().open(brief, 3, 2));
}

TEST(Texts, EveryPrefixIsRefused) {
  std::mt19937_64 random(9);
  const Bytes bytes = encoded(make(1000, 50, random));
  for (size_t length = 0; length < bytes.size(); length += length < 300 ? 1 : 13) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    ByteReader in(cut);
    EXPECT_FALSE(Texts().open(in, 1000, 50)) << length;
  }
}

}  // namespace
}  // namespace portbook
