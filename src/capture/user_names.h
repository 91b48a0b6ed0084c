// The names of user ids on this host.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace portbook {

// Remembers names for a minute. Owned by one thread.
class UserNames {
 public:
  // Empty when the id has no name. Valid until the next call.
  const std::string& name(uint32_t uid, uint64_t now_boot_ns);

 private:
  std::unordered_map<uint32_t, std::string> names_;
  uint64_t read_at_boot_ns_ = 0;
};

}  // namespace portbook
