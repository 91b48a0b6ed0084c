#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>

#include "capture/processes.h"
#include "capture/redact.h"

namespace portbook {

namespace {

// At most `maximum` bytes of a file; empty when it cannot be read.
std::string read_whole(const std::string& path, size_t maximum) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  text.resize(maximum);
  size_t used = 0;
  for (ssize_t got = 1; got > 0 && used < maximum;) {
    got = read(fd, text.data() + used, maximum - used);
    if (got > 0) used += static_cast<size_t>(got);
  }
  close(fd);
  text.resize(used);
  return text;
}

std::string read_link(const std::string& path) {
  std::string target(4096, '\0');
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  target.resize(length > 0 ? static_cast<size_t>(length) : 0);
  return target;
}

class ProcFileReader final : public ProcReader {
 public:
  explicit ProcFileReader(bool with_cmdline) : with_cmdline_(with_cmdline) {}

  std::unique_ptr<Found> read(uint32_t tgid) override {
    const std::string folder = fmt::format("/proc/{}/", tgid);
    const std::string stat = read_whole(folder + "stat", 4096);
    auto found = std::make_unique<Found>();
    if (!parse_stat(stat, *found)) return nullptr;
    found->image.exe = read_link(folder + "exe");
    found->image.cwd = read_link(folder + "cwd");
    if (with_cmdline_) {
      Redacted redacted = redact_arguments(read_whole(folder + "cmdline", PB_ARGS_BYTES_MAX));
      found->image.cmdline = std::move(redacted.text);
      found->image.redacted = redacted.count;
    }
    return found;
  }

 private:
  // Fields 4 (parent) and 22 (start); field 2 is in parentheses and may hold anything.
  static bool parse_stat(std::string_view stat, Found& found) {
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string_view::npos) return false;
    stat.remove_prefix(name_end + 1);
    for (int field = 3; field <= 22; ++field) {
      const size_t begin = stat.find_first_not_of(' ');
      if (begin == std::string_view::npos) return false;
      const size_t end = std::min(stat.find(' ', begin), stat.size());
      const char* first = stat.data() + begin;
      const char* last = stat.data() + end;
      if (field == 4) std::from_chars(first, last, found.ppid);
      if (field == 22) return std::from_chars(first, last, found.start_ticks).ec == std::errc{};
      stat.remove_prefix(end);
    }
    return false;
  }

  const bool with_cmdline_;
};

}  // namespace

std::unique_ptr<ProcReader> make_proc_reader(bool with_cmdline) {
  return std::make_unique<ProcFileReader>(with_cmdline);
}

}  // namespace portbook
