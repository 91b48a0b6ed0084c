// Unix stream sockets: connect, listen, non-blocking bytes.
#pragma once

#include <sys/types.h>

#include <filesystem>

#include "base/bytes.h"
#include "base/file_descriptor.h"
#include "base/result.h"

namespace portbook {

// All are close-on-exec and non-blocking. Errors: kBadInput (the path does not fit a unix socket), kUnavailable (nobody listens
// there), kDenied, kIo.
Result<FileDescriptor> connect_unix(const std::filesystem::path& path);
// Whether a process listens there, and goes on for two seconds: one that was killed is gone by then.
bool somebody_listens(const std::filesystem::path& path);
// Takes the place of a socket that lies there. `mode` is the socket file's.
Result<FileDescriptor> listen_unix(const std::filesystem::path& path, mode_t mode);
// An eventfd, with which other threads wake one that polls.
Result<FileDescriptor> make_wake_fd();
void wake(const FileDescriptor& fd);
void drain_wakes(const FileDescriptor& fd);

// What a non-blocking read or write did.
enum class Moved : uint8_t { kSome, kNothing, kClosed };
// Appends what has arrived to `in`, at most `bytes_max`.
Moved read_some(const FileDescriptor& fd, Bytes& in, size_t bytes_max);
// Sends from the front of [at, out.size()) and moves `at`; once all is sent, both begin anew.
Moved write_some(const FileDescriptor& fd, Bytes& out, size_t& at);

}  // namespace portbook
