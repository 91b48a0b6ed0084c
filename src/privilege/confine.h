// Takes from a process of portbook what its part does not need, before it reads anything from outside. Nothing of it can be undone.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "privilege/system_call_filter.h"
#include "privilege/users.h"

namespace portbook {

struct ConfineOptions {
  Part part = Part::kBook;
  std::optional<UserIdentity> user;             // to become, when root; none: who it is
  std::vector<std::filesystem::path> writable;  // folders of its own; they must exist
  std::vector<std::filesystem::path> readable;  // beyond what its part needs anyway
  std::optional<uint16_t> tcp_port;             // may be listened on; 0: one that the kernel chooses
  std::optional<uint16_t> tcp_peer_port;        // may be connected to
  bool filter_later = false;                    // filter_system_calls() is called once its sockets are made
};

// What is in force.
struct Confinement {
  std::string user;                  // "uid 61183", "root's number", "portbook"
  std::string capabilities;          // "bpf perfmon"; empty: none
  std::string withheld;              // those that it should have and that it was started without
  int landlock = 0;                  // version; 0: none
  bool filter = false;               // of system calls
  std::vector<std::string> lacking;  // what this kernel or build does not have, one sentence each

  // "uid 61183, no capabilities, no new privileges, landlock 7, filtered system calls".
  [[nodiscard]] std::string to_text() const;
};

// Before the process has threads; descriptors that are open stay open. Landlock and the filter are left out where the kernel has
// none, and the filter in builds with sanitizers; the rest succeeds or nothing may go on. Errors: kDenied, kIo, kUnavailable, with
// one sentence.
Result<Confinement> confine(const ConfineOptions& options);

// The last step of confine(), for a part that has `filter_later`; also of threads that run by then. Notes in `result` what is in
// force. Errors: kIo.
Status filter_system_calls(Part part, Confinement& result);

// How a child ended, from wait()'s status: "the agent was ended by the kernel: it made a system call that this part of portbook
// never makes (SIGSYS). …".
std::string describe_end(std::string_view name, int wait_status);

}  // namespace portbook
