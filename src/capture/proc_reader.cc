#include <charconv>

#include "capture/processes.h"
#include "capture/redact.h"

namespace portbook {

namespace {

class ProcFileReader final : public ProcReader {
 public:
  ProcFileReader(Operations& operations, bool with_cmdline) : operations_(operations), with_cmdline_(with_cmdline) {}

  std::unique_ptr<Found> read(uint32_t tgid) override {
    const uint32_t wanted = kProcessStat | kProcessExe | kProcessCwd | (with_cmdline_ ? kProcessCmdline : 0);
    auto files = operations_.read_process(tgid, wanted);
    auto found = std::make_unique<Found>();
    if (!files.has_value() || !parse_process_stat(files->stat, *found)) return nullptr;
    found->image.exe = std::move(files->exe);
    found->image.cwd = std::move(files->cwd);
    if (with_cmdline_) {
      Redacted redacted = redact_arguments(files->cmdline);
      found->image.cmdline = std::move(redacted.text);
      found->image.redacted = redacted.count;
    }
    return found;
  }

 private:
  Operations& operations_;
  const bool with_cmdline_;
};

}  // namespace

// Fields 4 (parent) and 22 (start); field 2 is in parentheses and may hold anything.
bool parse_process_stat(std::string_view stat, ProcReader::Found& found) {
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

std::unique_ptr<ProcReader> make_proc_reader(Operations& operations, bool with_cmdline) {
  return std::make_unique<ProcFileReader>(operations, with_cmdline);
}

}  // namespace portbook
