// The files of /proc/PID that portbook reads, as bytes.
#pragma once

#include <array>

#include "privilege/operations.h"

namespace portbook {

struct ProcessFileEntry {
  ProcessFile bit;
  const char* name;
  std::string ProcessFiles::* bytes;
  size_t bytes_max;
  bool is_link;
};

// In the order of their bits.
inline constexpr std::array<ProcessFileEntry, 8> kProcessFiles = {{
    {kProcessStat, "stat", &ProcessFiles::stat, 4096, false},
    {kProcessExe, "exe", &ProcessFiles::exe, 4096, true},
    {kProcessCwd, "cwd", &ProcessFiles::cwd, 4096, true},
    {kProcessCmdline, "cmdline", &ProcessFiles::cmdline, 8448, false},  // as PB_ARGS_BYTES_MAX in src/capture/bpf/events.h
    {kProcessStatus, "status", &ProcessFiles::status, 4096, false},
    {kProcessLoginUid, "loginuid", &ProcessFiles::loginuid, 16, false},
    {kProcessSessionId, "sessionid", &ProcessFiles::sessionid, 16, false},
    {kProcessCgroup, "cgroup", &ProcessFiles::cgroup, 4096, false},
}};

// All files through one descriptor of /proc/PID, so that they are of one process. Errors: kNotFound, kIo.
Result<ProcessFiles> read_process_files(uint32_t pid, uint32_t wanted);

}  // namespace portbook
