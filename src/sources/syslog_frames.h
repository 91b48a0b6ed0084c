// Messages out of a TCP stream of syslog: octet counting and newline framing, told apart message by message. Source: RFC 6587
// section 3.4.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace portbook {

inline constexpr size_t kSyslogMessageBytesMax = 64 * 1024;

struct SyslogFrame {
  std::string_view text;  // without its newline
  bool cut = false;       // it was longer than kSyslogMessageBytesMax; the rest is passed over
};

// Owned by one thread. Holds no more than it is given and has not handed out.
class SyslogFrames {
 public:
  void push(std::string_view bytes);
  // The next whole message; empty lines are none. Its text is valid until the next call of anything here.
  std::optional<SyslogFrame> next();
  // What has come of a message that the end of the stream cut off; nothing where it ended between two.
  std::optional<SyslogFrame> rest();

 private:
  std::optional<SyslogFrame> next_counted(size_t header, size_t length);
  std::optional<SyslogFrame> next_line();

  std::string buffer_;
  size_t at_ = 0;
  size_t pass_over_ = 0;    // bytes of a counted message that was too long
  bool pass_line_ = false;  // the rest of a line that was too long
};

}  // namespace portbook
