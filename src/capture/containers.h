// The names of containers, from the files in which their runtimes describe them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace portbook {

// Opens one of the files that src/privilege/runtime_files.h lists.
using OpenRuntimeFile = std::function<Result<FileDescriptor>(std::string_view path)>;

// The name in a runtime's description of the container `id`; empty when it has none or is no such text:
// docker's config.v2.json ("Name"), an OCI config.json (annotations of the Kubernetes CRI, CRI-O and podman), podman's
// containers.json. In Kubernetes NAMESPACE/POD/CONTAINER.
std::string container_name_of(std::string_view json, std::string_view id);

// Looks through the files that the runtimes may have about it, docker's first. Empty when none has a name. `id`: 64 hexadecimal
// digits.
std::string read_container_name(const OpenRuntimeFile& open, std::string_view id);

// Finds names on a thread of its own, which begins with the first container. Thread-safe.
class ContainerNames {
 public:
  explicit ContainerNames(OpenRuntimeFile open) : open_(std::move(open)) {}
  ~ContainerNames();
  ContainerNames(const ContainerNames&) = delete;

  // The name, if it is known by now; never waits. An unknown one is looked for, and again some seconds later where no file had it.
  std::string find(std::string_view id, uint64_t now_boot_ns);

 private:
  struct Known {
    std::string name;
    uint64_t look_again = 0;  // boot time; of one that has no name yet
    uint32_t looks = 0;
    bool asked = false;
  };
  void run();

  const OpenRuntimeFile open_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::string, Known> known_;  // guarded by mutex_, as all that follows
  std::deque<std::string> wanted_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace portbook
