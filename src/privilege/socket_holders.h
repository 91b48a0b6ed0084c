// Which process holds a socket: the descriptors of all processes, as far as they may be looked into.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "privilege/operations.h"

namespace portbook {

// Owned by one thread.
class SocketHolderSearch {
 public:
  // `proc`: where procfs is mounted.
  explicit SocketHolderSearch(std::string proc = "/proc") : proc_(std::move(proc)) {}

  // Looks first into the processes that held sockets lately, then into all others, until all are found. Of several processes that
  // hold a socket one is named. At most kSocketsAskedMax inodes; more are not looked for.
  SocketHolders find(std::span<const uint32_t> inodes);

 private:
  const std::string proc_;
  std::deque<uint32_t> recent_;  // newest first
};

}  // namespace portbook
