#include "store/texts.h"

#include <zstd.h>

#include <algorithm>

#include "base/check.h"

namespace portbook {

namespace {

constexpr int kZstdLevel = 3;
constexpr uint64_t kJoinedBytesMax = uint64_t{2} << 30;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// One of each for a thread: making them costs more than using them on a few texts.
ZSTD_CCtx* packing_context() {
  static thread_local const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  PB_CHECK(context != nullptr);
  return context.get();
}
ZSTD_DCtx* unpacking_context() {
  static thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  PB_CHECK(context != nullptr);
  return context.get();
}

void append_frame(ByteView joined, Bytes& out) {
  const size_t at = out.size();
  const size_t bound = ZSTD_compressBound(joined.size());
  out.resize(at + 4 + bound);
  const size_t length = ZSTD_compressCCtx(packing_context(), out.data() + at + 4, bound, joined.data(), joined.size(), kZstdLevel);
  PB_CHECK(ZSTD_isError(length) == 0);
  store_little(out.data() + at, static_cast<uint32_t>(length));
  out.resize(at + 4 + length);
}

}  // namespace

void encode_texts(std::span<const std::string_view> texts, Bytes& out) {
  std::vector<uint64_t> lengths;
  for (const std::string_view text : texts) lengths.push_back(text.size());
  append_little(out, static_cast<uint32_t>(texts.size()));
  encode_plain_numbers(lengths, out);
  Bytes joined;
  for (size_t i = 0; i < texts.size(); ++i) {
    append(joined, as_bytes(texts[i]));
    if (joined.size() < kTextFrameBytes && i + 1 < texts.size()) continue;
    append_frame(joined, out);
    joined.clear();
  }
}

bool Texts::open(ByteReader& in, uint32_t count_max, uint64_t length_max) {
  uint32_t count = 0;
  if (!in.take(count) || count == 0 || count > count_max) return false;
  std::vector<uint64_t> lengths(count);
  const auto array = open_plain_numbers(in, count);
  if (!array || !array->decode(lengths)) return false;
  uint64_t end = 0;
  uint32_t frame_begin = 0;
  for (uint32_t id = 0; id < count; ++id) {
    if (lengths[id] > length_max) return false;
    end += lengths[id];
    if (end > kJoinedBytesMax) return false;
    ends_.push_back(static_cast<uint32_t>(end));
    if (end - frame_begin < kTextFrameBytes && id + 1 < count) continue;
    uint32_t packed_length = 0;
    Frame& frame = frames_.emplace_back(frame_begin, static_cast<uint32_t>(end), ByteView{});
    if (!in.take(packed_length) || !in.take_bytes(packed_length, frame.packed)) return false;
    // A frame of another length must not be unpacked to find that out.
    if (ZSTD_getFrameContentSize(frame.packed.data(), frame.packed.size()) != frame.end - frame.begin) return false;
    frame_begin = frame.end;
  }
  return true;
}

bool Texts::unpack(size_t frame) {
  if (unpacked_frame_ == frame) return true;
  const Frame& of = frames_[frame];
  unpacked_frame_ = kNone;
  unpacked_.resize(of.end - of.begin);
  if (ZSTD_decompressDCtx(unpacking_context(), unpacked_.data(), unpacked_.size(), of.packed.data(), of.packed.size()) !=
      unpacked_.size()) {
    return false;
  }
  unpacked_frame_ = frame;
  return true;
}

bool Texts::get(uint32_t id, std::string_view& text) {
  const uint32_t begin = id == 0 ? 0 : ends_[id - 1];
  const uint32_t end = ends_[id];
  text = {};
  if (begin == end) return true;
  const auto holds = std::ranges::upper_bound(frames_, begin, {}, &Frame::begin);
  const auto frame = static_cast<size_t>(holds - frames_.begin()) - 1;
  if (end > frames_[frame].end || !unpack(frame)) return false;
  text = as_text(ByteView(unpacked_).subspan(begin - frames_[frame].begin, end - begin));
  return true;
}

}  // namespace portbook
