// Where the boundaries between portbook's processes run on disk, and putting a process behind its own.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "privilege/confine.h"

namespace portbook {

// Beside a book's folder, since each belongs to a user of its own: the meeting place of book and agent, which only these two enter,
// with the book's socket for agents and, in spool/, what the agent keeps while the book is away.
std::filesystem::path meeting_folder(const std::filesystem::path& data);
std::filesystem::path default_ingest_socket(const std::filesystem::path& data);
std::filesystem::path default_spool(const std::filesystem::path& data);

// As root: makes what is missing of a book's folder (mode 0700) and of its meeting place, and says as whom the book runs: the
// folder's owner. A new folder belongs to the user portbook, else to whoever owns the folder above. Never root: one that would be
// root's, or is since an earlier version, is given with its files to the user portbook, else to a number that nobody has. Links are
// not followed. Not root: makes nothing and says nobody. Errors: kBadInput (a link, or a folder of root's with other things in it),
// kIo, kDenied, kUnavailable.
Result<std::optional<UserIdentity>> prepare_book(const std::filesystem::path& data);

// As root: makes the spool, belonging to the agent's user, and says who that is; the process stands in it afterwards, so that
// folders above it may be closed to the agent. An earlier agent's is given to it with its files. Links are not followed. Not root:
// does nothing and says nobody. Errors: as above.
Result<std::optional<UserIdentity>> prepare_agent(const std::filesystem::path& spool);

// What the follower of logs that `portbook up` runs keeps, and one that is started apart; beside a book, in its meeting place.
std::filesystem::path default_positions(const std::filesystem::path& data, bool apart);
// The same for the follower of logs and the folder of its positions.
Result<std::optional<UserIdentity>> prepare_logs(const std::filesystem::path& positions);
// The same for the receiver of syslog, which has the same user with the agent's group, and its spool.
Result<std::optional<UserIdentity>> prepare_receiver(const std::filesystem::path& spool);

// The path as the agent reaches it from its spool; `socket` itself when it is not beside the spool.
std::filesystem::path seen_from_spool(const std::filesystem::path& socket, const std::filesystem::path& spool);

}  // namespace portbook
