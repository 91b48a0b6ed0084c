#include "store/number_codec.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"

namespace portbook {

namespace {

// The first byte of every array. Values stand in sealed files.
enum class Encoding : Byte { kConstant = 0, kFrameOfReference = 1, kDelta = 2, kDictionary = 3 };

constexpr int kZstdLevel = 1;
constexpr size_t kDictionaryMax = 4096;  // distinct numbers

uint64_t zigzag(uint64_t difference) {
  return difference << 1 ^ (0 - (difference >> 63));
}
uint64_t unzigzag(uint64_t value) {
  return value >> 1 ^ (0 - (value & 1));
}

size_t planes_for(uint64_t greatest) {
  return (static_cast<size_t>(std::bit_width(greatest)) + 7) / 8;
}

// Bits that the numbers would take, each in as few as it needs: what tells frame of reference from delta.
struct Costs {
  uint64_t offset_bits = 0;
  uint64_t delta_bits = 0;
  uint64_t delta_greatest = 0;
};

Costs costs_of(std::span<const uint64_t> numbers, uint64_t least) {
  Costs costs;
  uint64_t last = numbers.front();
  for (const uint64_t number : numbers) {
    const uint64_t delta = zigzag(number - last);
    last = number;
    costs.offset_bits += static_cast<uint64_t>(std::bit_width(number - least));
    costs.delta_bits += static_cast<uint64_t>(std::bit_width(delta));
    costs.delta_greatest = std::max(costs.delta_greatest, delta);
  }
  return costs;
}

// The distinct numbers in ascending order if they are few; empty else.
std::vector<uint64_t> few_distinct(std::span<const uint64_t> numbers) {
  constexpr size_t kSlots = kDictionaryMax * 4;
  std::vector<uint64_t> slots(kSlots);
  std::vector<bool> used(kSlots);
  std::vector<uint64_t> distinct;
  for (const uint64_t number : numbers) {
    size_t slot = number * 0x9e3779b97f4a7c15U >> 50;  // kSlots is 2^14
    while (used[slot] && slots[slot] != number) slot = (slot + 1) % kSlots;
    if (used[slot]) continue;
    if (distinct.size() == kDictionaryMax) return {};
    used[slot] = true;
    slots[slot] = number;
    distinct.push_back(number);
  }
  std::ranges::sort(distinct);
  return distinct;
}

}  // namespace

NumberEncoder::NumberEncoder() : context_(ZSTD_createCCtx()) {
  PB_CHECK(context_ != nullptr);
  ZSTD_CCtx_setParameter(static_cast<ZSTD_CCtx*>(context_), ZSTD_c_compressionLevel, kZstdLevel);
}
NumberEncoder::~NumberEncoder() {
  ZSTD_freeCCtx(static_cast<ZSTD_CCtx*>(context_));
}

void NumberEncoder::encode_bytes(ByteView bytes, Bytes& out) {
  const size_t at = out.size();
  const size_t bound = ZSTD_compressBound(bytes.size());
  out.resize(at + 4 + bound);
  const size_t length = ZSTD_compress2(static_cast<ZSTD_CCtx*>(context_), out.data() + at + 4, bound, bytes.data(), bytes.size());
  PB_CHECK(ZSTD_isError(length) == 0);
  store_little(out.data() + at, static_cast<uint32_t>(length));
  out.resize(at + 4 + length);
}

void NumberEncoder::encode_planes(std::span<const uint64_t> offsets, uint64_t greatest, Bytes& out) {
  const size_t planes = planes_for(greatest);
  out.push_back(static_cast<Byte>(planes));
  planes_.resize(planes * offsets.size());
  for (size_t plane = 0; plane < planes; ++plane) {
    Byte* const to = planes_.data() + plane * offsets.size();
    for (size_t i = 0; i < offsets.size(); ++i) to[i] = static_cast<Byte>(offsets[i] >> 8 * plane);
  }
  encode_bytes(planes_, out);
}

bool NumberEncoder::encode_dictionary(std::span<const uint64_t> numbers, Bytes& out) {
  const std::vector<uint64_t> distinct = few_distinct(numbers);
  if (distinct.empty() || distinct.size() * 8 > numbers.size()) return false;
  out.push_back(static_cast<Byte>(Encoding::kDictionary));
  append_little(out, static_cast<uint32_t>(distinct.size()));
  for (const uint64_t number : distinct) append_little(out, number);
  work_.resize(numbers.size());
  std::ranges::transform(numbers, work_.begin(), [&](uint64_t number) {
    return static_cast<uint64_t>(std::ranges::lower_bound(distinct, number) - distinct.begin());
  });
  encode_planes(work_, distinct.size() - 1, out);
  return true;
}

void NumberEncoder::encode(std::span<const uint64_t> numbers, Bytes& out) {
  if (numbers.empty()) return;
  const auto [least, greatest] = std::ranges::minmax(numbers);
  if (least == greatest) {
    out.push_back(static_cast<Byte>(Encoding::kConstant));
    append_little(out, least);
    return;
  }
  const Costs costs = costs_of(numbers, least);
  // A dictionary pays where values are wide and few.
  const bool delta = costs.delta_bits < costs.offset_bits;
  if (planes_for(greatest - least) > 1 && std::min(costs.delta_bits, costs.offset_bits) > 8 * numbers.size() &&
      encode_dictionary(numbers, out)) {
    return;
  }
  out.push_back(static_cast<Byte>(delta ? Encoding::kDelta : Encoding::kFrameOfReference));
  append_little(out, delta ? numbers.front() : least);
  work_.resize(numbers.size());
  uint64_t last = numbers.front();
  for (size_t i = 0; i < numbers.size(); ++i) {
    work_[i] = delta ? zigzag(numbers[i] - last) : numbers[i] - least;
    last = numbers[i];
  }
  encode_planes(work_, delta ? costs.delta_greatest : greatest - least, out);
}

NumberDecoder::NumberDecoder() : context_(ZSTD_createDCtx()) {
  PB_CHECK(context_ != nullptr);
}
NumberDecoder::~NumberDecoder() {
  ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(context_));
}

bool NumberDecoder::decode_bytes(ByteReader& in, std::span<Byte> bytes) {
  uint32_t length = 0;
  ByteView packed;
  if (!in.take(length) || !in.take_bytes(length, packed)) return false;
  // A frame of another length must not be inflated to find that out.
  if (ZSTD_getFrameContentSize(packed.data(), packed.size()) != bytes.size()) return false;
  return ZSTD_decompressDCtx(static_cast<ZSTD_DCtx*>(context_), bytes.data(), bytes.size(), packed.data(), packed.size()) ==
         bytes.size();
}

bool NumberDecoder::decode_planes(ByteReader& in, std::span<uint64_t> numbers) {
  Byte planes = 0;
  if (!in.take(planes) || planes == 0 || planes > 8) return false;
  planes_.resize(planes * numbers.size());
  if (!decode_bytes(in, planes_)) return false;
  std::ranges::fill(numbers, 0);
  for (size_t plane = 0; plane < planes; ++plane) {
    const Byte* const from = planes_.data() + plane * numbers.size();
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] |= uint64_t{from[i]} << 8 * plane;
  }
  return true;
}

bool NumberDecoder::decode_dictionary(ByteReader& in, std::span<uint64_t> numbers) {
  uint32_t count = 0;
  if (!in.take(count) || count == 0 || count > kDictionaryMax) return false;
  std::vector<uint64_t> distinct(count);
  for (uint64_t& number : distinct) {
    if (!in.take(number)) return false;
  }
  if (!decode_planes(in, numbers)) return false;
  for (uint64_t& number : numbers) {
    if (number >= count) return false;
    number = distinct[number];
  }
  return true;
}

bool NumberDecoder::decode(ByteReader& in, std::span<uint64_t> numbers) {
  if (numbers.empty()) return true;
  Byte encoding = 0;
  uint64_t base = 0;
  if (!in.take(encoding)) return false;
  if (encoding == static_cast<Byte>(Encoding::kDictionary)) return decode_dictionary(in, numbers);
  if (encoding > static_cast<Byte>(Encoding::kDictionary) || !in.take(base)) return false;
  if (encoding == static_cast<Byte>(Encoding::kConstant)) {
    std::ranges::fill(numbers, base);
    return true;
  }
  if (!decode_planes(in, numbers)) return false;
  const bool delta = encoding == static_cast<Byte>(Encoding::kDelta);
  uint64_t last = base;
  for (uint64_t& number : numbers) {
    number = delta ? last + unzigzag(number) : base + number;
    last = number;
  }
  return true;
}

}  // namespace portbook
