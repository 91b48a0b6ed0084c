// Arrays of 64-bit numbers in few bytes: constant, frame of reference, delta or dictionary, then byte planes through zstd.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "store/byte_reader.h"

namespace portbook {

// Zstandard contexts and buffers that are used again from array to array. One thread.
class NumberEncoder {
 public:
  NumberEncoder();
  ~NumberEncoder();
  NumberEncoder(const NumberEncoder&) = delete;
  NumberEncoder& operator=(const NumberEncoder&) = delete;

  // Appends the numbers; their count has to be known to whoever decodes them.
  void encode(std::span<const uint64_t> numbers, Bytes& out);
  // Appends bytes: u32 compressed length ‖ zstd frame.
  void encode_bytes(ByteView bytes, Bytes& out);

 private:
  void encode_planes(std::span<const uint64_t> offsets, uint64_t greatest, Bytes& out);
  bool encode_dictionary(std::span<const uint64_t> numbers, Bytes& out);

  void* context_;  // ZSTD_CCtx
  std::vector<uint64_t> work_;
  Bytes planes_;
};

// The counterpart. Errors are told as false: the bytes are not what an encoder writes.
class NumberDecoder {
 public:
  NumberDecoder();
  ~NumberDecoder();
  NumberDecoder(const NumberDecoder&) = delete;
  NumberDecoder& operator=(const NumberDecoder&) = delete;

  // Fills `numbers`, whose length says how many there are.
  [[nodiscard]] bool decode(ByteReader& in, std::span<uint64_t> numbers);
  // Fills `bytes`, whose length says how many there are.
  [[nodiscard]] bool decode_bytes(ByteReader& in, std::span<Byte> bytes);

 private:
  bool decode_planes(ByteReader& in, std::span<uint64_t> numbers);
  bool decode_dictionary(ByteReader& in, std::span<uint64_t> numbers);

  void* context_;  // ZSTD_DCtx
  Bytes planes_;
};

}  // namespace portbook
