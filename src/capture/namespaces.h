// The network namespaces of this host: which there are, and running something inside of one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/result.h"

namespace portbook {

// Namespaces by inode number, each with a path that opens it; found through processes and through names in /run/netns and
// /run/docker/netns. Only what a process runs in or a name holds is found.
std::map<uint32_t, std::string> find_network_namespaces();

// The inode number of the calling thread's network namespace; 0 when /proc does not say.
uint32_t own_network_namespace();

// Runs `work` on a thread of its own that has entered the namespace, and waits. The caller's namespace stays as it is.
// Errors: kDenied, kNotFound (gone meanwhile), kIo, and what `work` returns.
Status in_network_namespace(const std::string& path, uint32_t netns, const std::function<Status()>& work);

}  // namespace portbook
