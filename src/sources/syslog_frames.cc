#include "sources/syslog_frames.h"

#include <algorithm>
#include <cstdint>

#include "sources/line.h"

namespace portbook {

namespace {

constexpr size_t kCountDigitsMax = 9;

// "123 <": how long the message is that follows, and where it begins. A line may begin with digits, but no message that is counted
// begins with anything but its priority.
struct Count {
  enum class Is : uint8_t { kNone, kPartial, kWhole } is = Is::kNone;
  size_t header = 0;
  size_t length = 0;
};

Count count_at(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0 || digits > kCountDigitsMax || text.front() == '0') return {};
  if (text.size() < digits + 2 && (text.size() == digits || text[digits] == ' ')) return {Count::Is::kPartial};
  uint64_t length = 0;
  if (text[digits] != ' ' || text[digits + 1] != '<' || !parse_count(text.substr(0, digits), length)) return {};
  return {Count::Is::kWhole, digits + 1, length};
}

std::string_view without_end(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == '\0')) text.remove_suffix(1);
  return text;
}

}  // namespace

void SyslogFrames::push(std::string_view bytes) {
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_.append(bytes);
}

std::optional<SyslogFrame> SyslogFrames::next_counted(size_t header, size_t length) {
  const size_t kept = std::min(length, kSyslogMessageBytesMax);
  if (buffer_.size() - at_ < header + kept) return std::nullopt;
  const std::string_view text = std::string_view(buffer_).substr(at_ + header, kept);
  at_ += header + kept;
  pass_over_ = length - kept;
  return SyslogFrame{without_end(text), length > kept};
}

std::optional<SyslogFrame> SyslogFrames::next_line() {
  const std::string_view left = std::string_view(buffer_).substr(at_);
  const size_t end = left.substr(0, kSyslogMessageBytesMax + 1).find('\n');
  if (end != std::string_view::npos) {
    at_ += end + 1;
    return SyslogFrame{without_end(left.substr(0, end)), false};
  }
  if (left.size() <= kSyslogMessageBytesMax) return std::nullopt;
  at_ += kSyslogMessageBytesMax;
  pass_line_ = true;
  return SyslogFrame{left.substr(0, kSyslogMessageBytesMax), true};
}

std::optional<SyslogFrame> SyslogFrames::next() {
  while (at_ < buffer_.size()) {
    const size_t passed = std::min(pass_over_, buffer_.size() - at_);
    at_ += passed;
    pass_over_ -= passed;
    if (pass_line_) {
      const size_t end = buffer_.find('\n', at_);
      pass_line_ = end == std::string::npos;
      at_ = pass_line_ ? buffer_.size() : end + 1;
    }
    if (at_ == buffer_.size()) break;
    const Count count = count_at(std::string_view(buffer_).substr(at_));
    if (count.is == Count::Is::kPartial) break;
    const auto frame = count.is == Count::Is::kWhole ? next_counted(count.header, count.length) : next_line();
    if (!frame || !frame->text.empty()) return frame;
  }
  return std::nullopt;
}

std::optional<SyslogFrame> SyslogFrames::rest() {
  const std::string_view left = without_end(std::string_view(buffer_).substr(at_));
  at_ = buffer_.size();
  if (left.empty()) return std::nullopt;
  return SyslogFrame{left.substr(0, kSyslogMessageBytesMax), false};
}

}  // namespace portbook
