#include "store/log_frame.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "base/check.h"

namespace portbook {

namespace {

constexpr std::array<Byte, 8> kLogMagic = {'P', 'B', 'L', 'O', 'G', '\r', '\n', 0x1a};
constexpr uint32_t kFrameMagic = 0x314d5246;  // "FRM1"
constexpr size_t kChecksumAt = 32;

// Over the header's bytes before the checksum, then the payload and its padding.
uint64_t frame_checksum(ByteView frame) {
  const uint64_t seed = XXH3_64bits(frame.data(), kChecksumAt);
  return XXH3_64bits_withSeed(frame.data() + kFrameHeaderBytes, frame.size() - kFrameHeaderBytes, seed);
}

uint64_t end_of_nonzero(ByteView bytes) {
  const auto last = std::find_if(bytes.rbegin(), bytes.rend(), [](Byte b) { return b != 0; });
  return static_cast<uint64_t>(bytes.rend() - last);
}

}  // namespace

std::array<Byte, kLogHeaderBytes> encode_log_header(const LogHeader& header) {
  std::array<Byte, kLogHeaderBytes> bytes{};
  std::ranges::copy(kLogMagic, bytes.begin());
  store_little(bytes.data() + 8, kLogVersion);
  store_little(bytes.data() + 16, header.serial);
  store_little(bytes.data() + 24, header.first_index);
  store_little(bytes.data() + 56, static_cast<uint64_t>(XXH3_64bits(bytes.data(), 56)));
  return bytes;
}

Result<LogHeader> parse_log_header(ByteView bytes) {
  if (bytes.size() < kLogHeaderBytes || !std::equal(kLogMagic.begin(), kLogMagic.end(), bytes.begin())) {
    return fail(ErrorCode::kCorrupt, "at offset 0: this is not a log file");
  }
  if (load_little<uint64_t>(bytes.data() + 56) != XXH3_64bits(bytes.data(), 56)) {
    return fail(ErrorCode::kCorrupt, "at offset 0: the file header's checksum is wrong");
  }
  const auto version = load_little<uint32_t>(bytes.data() + 8);
  if (version > kLogVersion) return fail(ErrorCode::kNewer, fmt::format("log format {}: written by a newer portbook", version));
  const LogHeader header{load_little<uint64_t>(bytes.data() + 16), load_little<uint64_t>(bytes.data() + 24)};
  if (!std::ranges::equal(encode_log_header(header), bytes.first(kLogHeaderBytes))) {
    return fail(ErrorCode::kCorrupt, "at offset 0: the file header has bytes that mean nothing");
  }
  return header;
}

void FrameBuilder::clear() {
  bytes_.assign(kFrameHeaderBytes, 0);
  payload_ = 0;
  count_ = 0;
}

void FrameBuilder::add(ByteView records, uint32_t count) {
  append(bytes_, records);
  payload_ += records.size();
  count_ += count;
}

ByteView FrameBuilder::finish(uint64_t serial, uint64_t first_index) {
  const size_t payload = payload_;
  PB_CHECK(count_ > 0 && payload <= kFramePayloadMax);
  bytes_.resize(frame_bytes(payload));
  store_little(bytes_.data(), kFrameMagic);
  store_little(bytes_.data() + 4, static_cast<uint32_t>(payload));
  store_little(bytes_.data() + 8, serial);
  store_little(bytes_.data() + 16, first_index);
  store_little(bytes_.data() + 24, count_);
  store_little(bytes_.data() + kChecksumAt, frame_checksum(bytes_));
  return bytes_;
}

LogItem read_log_item(ByteView file, uint64_t offset, uint64_t serial) {
  PB_CHECK(offset <= file.size());
  const ByteView rest = file.subspan(offset);
  const auto bad = [&](std::string reason) { return BadFrame{offset, offset + end_of_nonzero(rest), std::move(reason)}; };
  const size_t head = std::min(rest.size(), kFrameHeaderBytes);
  if (std::ranges::all_of(rest.first(head), [](Byte b) { return b == 0; })) {
    if (end_of_nonzero(rest) == 0) return LogEnd{offset};
    return bad("bytes that belong to no frame");
  }
  if (rest.size() < kFrameHeaderBytes || load_little<uint32_t>(rest.data()) != kFrameMagic) return bad("no frame begins here");
  const auto payload = load_little<uint32_t>(rest.data() + 4);
  if (payload > kFramePayloadMax || frame_bytes(payload) > rest.size()) return bad("the frame's length reaches beyond the file");
  const ByteView frame = rest.first(frame_bytes(payload));
  if (load_little<uint64_t>(frame.data() + kChecksumAt) != frame_checksum(frame)) return bad("the frame's checksum is wrong");
  if (load_little<uint64_t>(frame.data() + 8) != serial) return bad("the frame belongs to another log file");
  return Frame{offset, load_little<uint64_t>(frame.data() + 16), load_little<uint32_t>(frame.data() + 24),
               frame.subspan(kFrameHeaderBytes, payload)};
}

}  // namespace portbook
