#include "privilege/process_files.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace portbook {

namespace {

// At most `maximum` bytes of a file; empty when it cannot be read.
std::string read_file(int folder, const char* name, size_t maximum) {
  std::string bytes;
  const FileDescriptor fd(openat(folder, name, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return bytes;
  bytes.resize(maximum);
  size_t used = 0;
  for (ssize_t got = 1; got > 0 && used < maximum;) {
    got = read(fd.get(), bytes.data() + used, maximum - used);
    if (got > 0) used += static_cast<size_t>(got);
  }
  bytes.resize(used);
  return bytes;
}

std::string read_link(int folder, const char* name, size_t maximum) {
  std::string target(maximum, '\0');
  const ssize_t length = readlinkat(folder, name, target.data(), target.size());
  target.resize(length > 0 ? static_cast<size_t>(length) : 0);
  return target;
}

}  // namespace

Result<ProcessFiles> read_process_files(uint32_t pid, uint32_t wanted) {
  const FileDescriptor folder(open(fmt::format("/proc/{}", pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) {
    return fail(errno == ENOENT || errno == ESRCH ? ErrorCode::kNotFound : ErrorCode::kIo,
                fmt::format("process {}: {}", pid, std::strerror(errno)));
  }
  ProcessFiles files;
  for (const ProcessFileEntry& entry : kProcessFiles) {
    if ((wanted & entry.bit) == 0) continue;
    files.*entry.bytes =
        entry.is_link ? read_link(folder.get(), entry.name, entry.bytes_max) : read_file(folder.get(), entry.name, entry.bytes_max);
  }
  return files;
}

}  // namespace portbook
