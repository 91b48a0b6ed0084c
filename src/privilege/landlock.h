// Landlock: of all files, only those under named paths; no network; no signals to processes outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace portbook {

struct LandlockRules {
  std::vector<std::string> readable;      // files, or folders with all that is in them; those that do not exist are left out
  std::optional<uint16_t> tcp_port;       // the one port that may be listened on; 0: one that the kernel chooses
  std::optional<uint16_t> tcp_peer_port;  // the one port that may be connected to
  std::vector<std::string> writable;      // likewise, for reading, writing, making and removing; for sockets too
};

// The newest version of Landlock's interface that this kernel has; 0: none.
int landlock_version();

// Restricts the calling thread and what it starts later, by as much as this kernel's version knows. Needs no-new-privs or
// CAP_SYS_ADMIN. Returns the version used, 0 where the kernel has none. Errors: kDenied, kIo.
Result<int> restrict_files(const LandlockRules& rules);

}  // namespace portbook
