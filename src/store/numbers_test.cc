#include "store/numbers.h"

#include <gtest/gtest.h>

#include <random>

#include "store/bit_packing.h"

namespace portbook {
namespace {

using Numbers = std::vector<uint64_t>;

// Every shape of numbers that one of the encodings is for, and what none is for.
constexpr int kShapes = 12;
Numbers make(int shape, size_t count, std::mt19937_64& random) {
  Numbers numbers(count);
  uint64_t last = 1'795'000'000'000'000'000;
  const uint64_t distinct[] = {random(), random(), random(), 0, UINT64_MAX};
  for (size_t i = 0; i < count; ++i) {
    uint64_t& number = numbers[i];
    switch (shape) {
      case 0: number = 42; break;
      case 1: number = 1000 + random() % 200; break;
      case 2: number = last += random() % 5000; break;
      case 3: number = distinct[random() % 5]; break;
      case 4: number = random(); break;
      case 5: number = random() % 2 == 0 ? 0 : UINT64_MAX; break;
      case 6: number = last -= random() % 3; break;
      case 7: number = random() % 100 == 0 ? random() : random() % 16; break;
      case 8: number = i / 100; break;
      case 9: number = i == count / 2 ? UINT64_MAX : 7; break;
      case 10: number = random() % 2 == 0 ? uint64_t{1} << 63 : (uint64_t{1} << 63) - 1; break;
      default: number = random() >> random() % 64; break;
    }
  }
  return numbers;
}

constexpr size_t kCounts[] = {1, 2, 3, 7, 8, 9, 255, 1023, 1024, 1025, 2048, 5000, 65536};

TEST(BitPacking, GivesBackEveryWidth) {
  std::mt19937_64 random(3);
  for (unsigned width = 0; width <= 64; ++width) {
    if (!is_packing_width(width)) continue;
    for (const size_t count : {0UL, 1UL, 7UL, 8UL, 9UL, 64UL, 100UL, 1024UL}) {
      Numbers numbers(count);
      for (uint64_t& number : numbers) number = width == 0 ? 0 : random() >> (64 - width);
      Bytes bytes{9};
      pack_bits(numbers, width, bytes);
      ASSERT_EQ(bytes.size(), 1 + packed_bytes(count, width));
      const Bytes exact(bytes.begin() + 1, bytes.end());  // so that a sanitizer sees each byte read beyond them
      Numbers back(count, 77);
      unpack_bits(exact, width, back);
      ASSERT_EQ(back, numbers) << width << " " << count;
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(packed_number(exact, width, i), numbers[i]);
    }
  }
}

// Each encoding by itself, whether it would be chosen or not, against the plain numbers.
TEST(Numbers, EveryEncodingGivesBackWhatItTakes) {
  std::mt19937_64 random(11);
  std::vector<size_t> taken(number_encodings().size());
  for (const size_t count : kCounts) {
    for (int shape = 0; shape < kShapes; ++shape) {
      const Numbers numbers = make(shape, count, random);
      for (size_t which = 0; which < taken.size(); ++which) {
        const NumberEncoding& encoding = number_encodings()[which];
        Bytes bytes;
        if (!encoding.encode(numbers, SIZE_MAX, bytes)) {
          EXPECT_TRUE(bytes.empty());
          continue;
        }
        ++taken[which];
        Bytes again{1};
        EXPECT_FALSE(encoding.encode(numbers, bytes.size(), again)) << encoding.name << " takes no fewer bytes than before";
        EXPECT_EQ(again, Bytes{1});
        ByteReader in(bytes);
        const auto array = encoding.open(in, count);
        ASSERT_TRUE(array) << encoding.name << " " << shape << " " << count;
        EXPECT_TRUE(in.done());
        Numbers back(count);
        ASSERT_TRUE(array->decode(back));
        ASSERT_EQ(back, numbers) << encoding.name << " " << shape << " " << count;
        for (size_t i = 0; i < count; i += count > 5000 ? 97 : 1) {
          uint64_t number = 0;
          ASSERT_TRUE(array->get(i, number));
          ASSERT_EQ(number, numbers[i]) << encoding.name << " " << shape << " " << count << " at " << i;
        }
      }
    }
  }
  for (size_t which = 0; which < taken.size(); ++which) EXPECT_GT(taken[which], 5U) << number_encodings()[which].name;
}

Bytes encoded(const Numbers& numbers) {
  Bytes bytes;
  encode_numbers(numbers, bytes);
  return bytes;
}

TEST(Numbers, TheSmallestEncodingIsChosen) {
  std::mt19937_64 random(12);
  const auto chosen = [&](int shape) {
    const Bytes bytes = encoded(make(shape, 65536, random));
    return number_encodings()[bytes[0]].name;
  };
  EXPECT_EQ(chosen(0), "constant");
  EXPECT_EQ(chosen(1), "packed");
  EXPECT_EQ(chosen(2), "delta");
  EXPECT_EQ(chosen(3), "dictionary");
  EXPECT_EQ(chosen(7), "packed");
  EXPECT_EQ(chosen(8), "runs");
  Numbers sources;
  for (size_t i = 0; i < 65536; ++i) sources.push_back(i % 4000 == 0 || sources.empty() ? random() : sources.back());
  EXPECT_EQ(number_encodings()[encoded(sources)[0]].name, "runs");
}

TEST(Numbers, TakeAboutTheirBits) {
  std::mt19937_64 random(12);
  const auto bits = [&](int shape) { return static_cast<double>(encoded(make(shape, 65536, random)).size()) * 8 / 65536; };
  EXPECT_LT(bits(0), 0.002);
  EXPECT_LT(bits(1), 8.1);
  EXPECT_LT(bits(2), 14.1) << "differences below 5000, zigzag";
  EXPECT_LT(bits(3), 3.1);
  EXPECT_LT(bits(7), 5.0) << "four bits, and 74 for each hundredth";
  EXPECT_LT(bits(9), 0.1);
}

TEST(Numbers, NoneTakeNoBytes) {
  EXPECT_TRUE(encoded({}).empty());
}

TEST(Numbers, EveryPrefixIsRefused) {
  std::mt19937_64 random(13);
  for (int shape = 0; shape < kShapes; ++shape) {
    const Bytes bytes = encoded(make(shape, 1300, random));
    for (size_t length = 0; length < bytes.size(); ++length) {
      const Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
      ByteReader in(cut);
      EXPECT_FALSE(open_numbers(in, 1300)) << shape << " " << length;
    }
  }
}

// Bytes that lie may give any numbers, but the same ones both ways.
TEST(Numbers, FlippedBytesGiveNumbersOrAreRefused) {
  std::mt19937_64 random(14);
  for (int shape = 0; shape < kShapes; ++shape) {
    Bytes bytes = encoded(make(shape, 1300, random));
    for (size_t at = 0; at < bytes.size(); ++at) {
      const Byte was = bytes[at];
      bytes[at] ^= static_cast<Byte>(1 + random() % 255);
      ByteReader in(bytes);
      Numbers back(1300);
      if (const auto array = open_numbers(in, back.size()); array && array->decode(back)) {
        for (const size_t i : {0UL, 1UL, 1023UL, 1024UL, 1299UL}) {
          uint64_t number = 0;
          ASSERT_TRUE(array->get(i, number));
          ASSERT_EQ(number, back[i]) << shape << " " << at << " " << i;
        }
      }
      bytes[at] = was;
    }
  }
}

}  // namespace
}  // namespace portbook
