// The system calls that a part of portbook may make; any other ends it at once.
#pragma once

#include "base/result.h"

namespace portbook {

enum class Part : uint8_t { kHelper, kAgent, kBook, kLogs, kReceiver, kSampler, kConnector };

// Of the calling process with all its threads, for good; needs no-new-privs. A call that is not on the part's list ends the process
// with SIGSYS. A few calls that libraries try and can do without are answered with an error instead; the lists are in the .cc.
// Errors: kUnavailable (the kernel has no such filters), kIo.
Status restrict_system_calls(Part part);

}  // namespace portbook
