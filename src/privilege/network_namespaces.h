// The network namespaces of this host: which there are, and doing something inside of one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/result.h"

namespace portbook {

// Namespaces by inode number, each with a path that opens it; found through processes and through names in /run/netns and
// /run/docker/netns. Only what a process runs in or a name holds is found. Errors: kIo (/proc cannot be listed).
Result<std::map<uint32_t, std::string>> find_namespace_paths();

// Runs `work` in the namespace, on the calling thread, which is back in its own namespace afterwards; aborts if it cannot go back.
// Errors: kDenied, kNotFound (gone meanwhile), kIo, and what `work` returns.
Status in_network_namespace(const std::string& path, uint32_t netns, const std::function<Status()>& work);

}  // namespace portbook
