#include "privilege/runtime_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace portbook {

namespace {

constexpr size_t kIdDigits = 64;
constexpr size_t kNameCharsMax = 255;

bool is_id(std::string_view name) {
  return name.size() == kIdDigits &&
         std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_name(std::string_view name) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kNameCharsMax && name.front() != '.' && std::ranges::all_of(name, allowed);
}

// Takes the first name off a path that begins with '/'.
std::string_view take_name(std::string_view& path) {
  path.remove_prefix(1);
  const size_t end = std::min(path.find('/'), path.size());
  const std::string_view name = path.substr(0, end);
  path.remove_prefix(end);
  return name;
}

bool matches(std::string_view path, std::string_view pattern) {
  while (path.starts_with('/') && pattern.starts_with('/')) {
    const std::string_view name = take_name(path);
    const std::string_view wanted = take_name(pattern);
    if (!(wanted == "ID" ? is_id(name) : wanted == "NAME" ? is_name(name) : name == wanted)) return false;
  }
  return path.empty() && pattern.empty();
}

}  // namespace

bool is_runtime_file(std::string_view path) {
  return std::ranges::any_of(kRuntimeFiles, [&](std::string_view pattern) { return matches(path, pattern); });
}

Result<FileDescriptor> open_listed_runtime_file(std::string_view path) {
  const std::string name(path);
  if (!is_runtime_file(path)) return fail(ErrorCode::kBadInput, "\"" + name + "\" is no file of a container runtime");
  FileDescriptor fd(open(name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd.valid()) {
    const ErrorCode code = errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound
                           : errno == EACCES || errno == EPERM ? ErrorCode::kDenied
                                                               : ErrorCode::kIo;
    return fail(code, name + ": " + std::strerror(errno));
  }
  struct stat about{};
  if (fstat(fd.get(), &about) != 0 || !S_ISREG(about.st_mode)) return fail(ErrorCode::kBadInput, name + " is no regular file");
  return fd;
}

}  // namespace portbook
