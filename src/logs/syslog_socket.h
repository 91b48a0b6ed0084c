// Sockets on which syslog comes in.
#pragma once

#include <filesystem>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace portbook {

// Bind "127.0.0.1:5514" or "[::1]:5514"; port 0: one that the kernel chooses. Non-blocking, close-on-exec. Only loopback: syslog
// says neither who sends nor keeps it from others' eyes. Errors: kBadInput (no such address, or another one), kDenied, kIo.
Result<FileDescriptor> listen_syslog_udp(const std::string& address);
Result<FileDescriptor> listen_syslog_tcp(const std::string& address);
// A datagram socket, mode 0666, in the place of one that lies there and that nobody has open. Errors: as above, kUnavailable
// (somebody has it).
Result<FileDescriptor> listen_syslog_unix(const std::filesystem::path& path);

// One datagram or what it says about losses.
struct SyslogDatagram {
  std::string_view text;  // in the buffer
  bool cut = false;
  std::string from;        // "127.0.0.1:40112", "pid 7273"
  uint32_t overflows = 0;  // that the kernel dropped since the socket was made, where it says so; counts around
};
// False: nothing is there now.
bool receive_datagram(const FileDescriptor& fd, std::string& buffer, SyslogDatagram& datagram);

// "127.0.0.1:40112" of whoever is connected.
std::string peer_of(const FileDescriptor& fd);

}  // namespace portbook
