// Loads the kernel programs, attaches them, and hands out what reading them needs.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "privilege/operations.h"

namespace portbook {

// Owned by one thread. Destroying it detaches everything.
class KernelLoader {
 public:
  KernelLoader();
  ~KernelLoader();
  KernelLoader(const KernelLoader&) = delete;

  // As Operations has them.
  Result<LoadedPrograms> load(const ProgramOptions& options);
  void unload();
  [[nodiscard]] std::vector<std::string> find_detached() const;
  Status attach_again(std::string_view program);
  // Of sockets in the calling thread's network namespace.
  Result<FileDescriptor> open_iterator(std::string_view name);

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace portbook
