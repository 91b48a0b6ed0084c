// The different texts of a column, in compressed frames so that one text can be read without the others.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "store/numbers.h"

namespace portbook {

inline constexpr size_t kTextFrameBytes = 16 * 1024;  // a frame ends with the text that reaches this

// Appends u32 how many ‖ their lengths ‖ for each frame u32 length and a Zstandard frame.
void encode_texts(std::span<const std::string_view> texts, Bytes& out);

// The counterpart. Borrows the bytes. One thread.
class Texts {
 public:
  // `count_max`: how many there can be; `length_max`: of each. False: the bytes are not what encode_texts() writes.
  [[nodiscard]] bool open(ByteReader& in, uint32_t count_max, uint64_t length_max);
  [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(ends_.size()); }
  // The text of that id < count(); valid until the next call. False: as above.
  [[nodiscard]] bool get(uint32_t id, std::string_view& text);

 private:
  struct Frame {
    uint32_t begin = 0;  // in the texts joined
    uint32_t end = 0;
    ByteView packed;
  };
  static constexpr size_t kNone = SIZE_MAX;
  bool unpack(size_t frame);

  std::vector<uint32_t> ends_;  // of each text, in the texts joined
  std::vector<Frame> frames_;
  size_t unpacked_frame_ = kNone;
  Bytes unpacked_;  // the frame that was read last
};

}  // namespace portbook
