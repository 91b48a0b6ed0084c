#include "privilege/network_namespaces.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "base/file_descriptor.h"

namespace portbook {

namespace {

constexpr long kNamespaceFileSystem = 0x6e736673;  // NSFS_MAGIC of linux/magic.h

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

// Returns why the folder cannot be read; 0 when it was.
template <typename Visit>
int for_each_entry(const char* path, Visit visit) {
  const std::unique_ptr<DIR, CloseFolder> folder(opendir(path));
  if (!folder) return errno;
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] != '.') visit(entry->d_name);
  }
  return 0;
}

// "net:[4026531840]"; 0 for anything else.
uint32_t parse_link(const std::string& path) {
  std::array<char, 64> target{};
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  const std::string_view text(target.data(), length > 0 ? static_cast<size_t>(length) : 0);
  uint32_t netns = 0;
  if (text.starts_with("net:[")) std::from_chars(text.data() + 5, text.data() + text.size(), netns);
  return netns;
}

}  // namespace

Result<std::map<uint32_t, std::string>> find_namespace_paths() {
  std::map<uint32_t, std::string> found;
  for (const char* folder : {"/run/netns", "/run/docker/netns"}) {
    for_each_entry(folder, [&](const char* name) {
      const std::string path = std::string(folder) + "/" + name;
      struct stat about{};
      struct statfs system{};
      // A name whose mount is gone is an empty file.
      if (stat(path.c_str(), &about) != 0 || statfs(path.c_str(), &system) != 0 || system.f_type != kNamespaceFileSystem) return;
      found.emplace(static_cast<uint32_t>(about.st_ino), path);
    });
  }
  // An empty list would say that every namespace is gone.
  const int error = for_each_entry("/proc", [&](const char* name) {
    if (name[0] < '0' || name[0] > '9') return;
    const std::string path = std::string("/proc/") + name + "/ns/net";
    if (const uint32_t netns = parse_link(path); netns != 0) found.emplace(netns, path);
  });
  if (error != 0) return fail(ErrorCode::kIo, std::string("processes cannot be listed: ") + std::strerror(error));
  return found;
}

Status in_network_namespace(const std::string& path, uint32_t netns, const std::function<Status()>& work) {
  // Nobody needs a privilege to stay where he is.
  if (parse_link("/proc/thread-self/ns/net") == netns) return work();
  const FileDescriptor there(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there.valid()) {
    return fail(errno == ENOENT || errno == ESRCH ? ErrorCode::kNotFound : ErrorCode::kDenied, path + ": " + std::strerror(errno));
  }
  struct stat about{};
  // The process may have ended and its number be another's by now.
  if (fstat(there.get(), &about) != 0 || about.st_ino != netns)
    return fail(ErrorCode::kNotFound, path + ": is no longer that namespace");
  const FileDescriptor here(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!here.valid())
    return fail(ErrorCode::kIo, std::string("the own network namespace cannot be opened: ") + std::strerror(errno));
  if (setns(there.get(), CLONE_NEWNET) != 0) {
    if (errno == EPERM) return fail(ErrorCode::kDenied, path + ": only who has CAP_SYS_ADMIN may enter it");
    return fail(ErrorCode::kIo, path + ": cannot be entered: " + std::strerror(errno));
  }
  Status status = work();
  PB_CHECK(setns(here.get(), CLONE_NEWNET) == 0);
  return status;
}

}  // namespace portbook
