#include "store/number_codec.h"

#include <gtest/gtest.h>

#include <random>

namespace portbook {
namespace {

// Every shape of numbers that one of the encodings is for, and what none is for.
std::vector<uint64_t> make(int shape, size_t count, std::mt19937_64& random) {
  std::vector<uint64_t> numbers(count);
  uint64_t last = 1'795'000'000'000'000'000;
  const uint64_t distinct[] = {random(), random(), random(), 0, UINT64_MAX};
  for (uint64_t& number : numbers) {
    switch (shape) {
      case 0: number = 42; break;
      case 1: number = 1000 + random() % 200; break;
      case 2: number = last += random() % 5000; break;
      case 3: number = distinct[random() % 5]; break;
      case 4: number = random(); break;
      case 5: number = random() % 2 == 0 ? 0 : UINT64_MAX; break;
      case 6: number = last -= random() % 3; break;
      default: number = random() >> random() % 64; break;
    }
  }
  return numbers;
}

TEST(NumberCodec, GivesBackEveryArray) {
  std::mt19937_64 random(11);
  NumberEncoder encoder;
  NumberDecoder decoder;
  for (const size_t count : {0UL, 1UL, 2UL, 3UL, 255UL, 256UL, 5000UL, 65536UL}) {
    for (int shape = 0; shape < 8; ++shape) {
      const auto numbers = make(shape, count, random);
      Bytes bytes;
      encoder.encode(numbers, bytes);
      std::vector<uint64_t> back(count);
      ByteReader in(bytes);
      ASSERT_TRUE(decoder.decode(in, back)) << shape << " " << count;
      EXPECT_TRUE(in.done());
      EXPECT_EQ(back, numbers) << shape << " " << count;
    }
  }
}

TEST(NumberCodec, IsSmallWhereItShouldBe) {
  std::mt19937_64 random(12);
  NumberEncoder encoder;
  const auto size = [&](int shape) {
    Bytes bytes;
    encoder.encode(make(shape, 65536, random), bytes);
    return bytes.size();
  };
  EXPECT_EQ(size(0), 9U);
  EXPECT_LT(size(1), 65536U * 17 / 16);
  EXPECT_LT(size(2), 65536U * 2);
  EXPECT_LT(size(3), 65536U / 2);
}

TEST(NumberCodec, RefusesEveryPrefix) {
  std::mt19937_64 random(13);
  NumberEncoder encoder;
  NumberDecoder decoder;
  for (int shape = 0; shape < 8; ++shape) {
    Bytes bytes;
    encoder.encode(make(shape, 300, random), bytes);
    std::vector<uint64_t> back(300);
    for (size_t length = 0; length < bytes.size(); ++length) {
      ByteReader in(ByteView(bytes).first(length));
      EXPECT_FALSE(decoder.decode(in, back));
    }
  }
}

}  // namespace
}  // namespace portbook
