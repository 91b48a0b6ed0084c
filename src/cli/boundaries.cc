#include "cli/boundaries.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "book/folder.h"

namespace portbook {

namespace {

constexpr mode_t kOwnerOnly = 0700;
constexpr mode_t kOwnerAndPassingGroup = 0710;

std::unexpected<Error> failed(const std::filesystem::path& path) {
  return fail(errno == EACCES || errno == EPERM ? ErrorCode::kDenied : ErrorCode::kIo,
              fmt::format("{}: {}", path.string(), std::strerror(errno)));
}

std::string name_of(uint32_t uid) {
  std::array<char, 16 * 1024> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return fmt::format("uid {}", uid);
}

// A folder that is held by its descriptor, so that nobody can put another in its place.
struct Held {
  FileDescriptor fd;
  std::filesystem::path path;
  struct stat about{};
  bool made = false;
};

// Whoever may change the folder above may put another folder in this one's place; in a sticky one only its owner may.
Status check_above(const std::filesystem::path& above) {
  struct stat about{};
  if (stat(above.c_str(), &about) != 0) return failed(above);
  const bool others =
      (about.st_mode & S_IWOTH) != 0 || ((about.st_mode & S_IWGRP) != 0 && about.st_gid != 0 && about.st_gid != about.st_uid);
  if (!others || (about.st_mode & S_ISVTX) != 0) return {};
  return fail(ErrorCode::kDenied,
              fmt::format("{} may be changed by others than its owner, who could put another folder in this one's place; choose "
                          "another, or take that away with: chmod go-w {}",
                          above.string(), above.string()));
}

// Opens the folder, made with mode 0700 when it is missing. A link in its place is refused: who may change links is not known.
Result<Held> hold_folder(const std::filesystem::path& given) {
  Held held;
  std::error_code error;
  std::string plain = std::filesystem::absolute(given, error).lexically_normal().string();
  while (plain.size() > 1 && plain.ends_with('/')) plain.pop_back();
  held.path = plain;
  std::filesystem::create_directories(held.path.parent_path(), error);
  if (Status safe = check_above(held.path.parent_path()); !safe) return std::unexpected(safe.error());
  held.made = mkdir(held.path.c_str(), kOwnerOnly) == 0;
  if (!held.made && errno != EEXIST) return failed(held.path);
  held.fd = FileDescriptor(open(held.path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!held.fd.valid() && (errno == ELOOP || errno == ENOTDIR))
    return fail(ErrorCode::kBadInput, fmt::format("{} is a link or a file: name the folder itself", held.path.string()));
  if (!held.fd.valid() || fstat(held.fd.get(), &held.about) != 0) return failed(held.path);
  return held;
}

// Names in the folder, but for those that every new file system has.
Result<std::vector<std::string>> names_in(const Held& held) {
  DIR* folder = fdopendir(openat(held.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder == nullptr) return failed(held.path);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && name != "lost+found") names.emplace_back(name);
  }
  closedir(folder);
  return names;
}

// Gives the folder to another user, with the files that belong to its owner until now and have no name elsewhere. One that holds
// something, and nothing that `marks` it as this one's, was named by mistake. The folder goes last: what is interrupted begins
// anew.
Status give(const Held& held, const UserIdentity& user, bool (*marks)(std::string_view)) {
  if (held.about.st_uid == user.uid) return {};
  const auto names = names_in(held);
  if (!names) return std::unexpected(names.error());
  if (!names->empty() && std::ranges::none_of(*names, marks))
    return fail(ErrorCode::kBadInput, fmt::format("{} belongs to {} and holds other things, such as {}; name an empty folder",
                                                  held.path.string(), name_of(held.about.st_uid), names->front()));
  for (const std::string& name : *names) {
    const FileDescriptor file(openat(held.fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat about{};
    if (!file.valid() || fstat(file.get(), &about) != 0) return failed(held.path / name);
    if (!S_ISREG(about.st_mode) || about.st_nlink != 1 || about.st_uid != held.about.st_uid) continue;
    if (fchownat(file.get(), "", user.uid, user.gid, AT_EMPTY_PATH) != 0) return failed(held.path / name);
  }
  if (fchown(held.fd.get(), user.uid, user.gid) != 0) return failed(held.path);
  return {};
}

// Whose a book is that belongs to root or to nobody yet: the system's user portbook; where there is none, the owner of the folder
// that it is made in, who can reach it; and never root.
Result<UserIdentity> owner_of_book(const Held& data) {
  auto named = book_user();
  if (!data.made || !named || named->name == "portbook") return named;
  struct stat above{};
  if (stat(data.path.parent_path().c_str(), &above) != 0) return failed(data.path.parent_path());
  if (above.st_uid == 0) return named;
  return UserIdentity{above.st_uid, above.st_gid, name_of(above.st_uid)};
}

bool marks_book(std::string_view name) {
  return name == kBookFileName;
}

bool marks_spool(std::string_view name) {
  return name.starts_with("spool-");
}

bool marks_positions(std::string_view name) {
  return name == "positions" || name == "lock";
}

// As root: makes the folder, gives it to the user, and stands in it.
Result<std::optional<UserIdentity>> prepare_folder(const std::filesystem::path& path, Result<UserIdentity> user,
                                                   bool (*marks)(std::string_view)) {
  if (!user) return std::unexpected(user.error());
  const auto folder = hold_folder(path);
  if (!folder) return std::unexpected(folder.error());
  // The user's number may have been another one before.
  if (Status given = give(*folder, *user, marks); !given) return std::unexpected(given.error());
  if (fchown(folder->fd.get(), user->uid, user->gid) != 0 || fchmod(folder->fd.get(), kOwnerOnly) != 0 ||
      fchdir(folder->fd.get()) != 0)
    return failed(folder->path);
  return *user;
}

}  // namespace

std::filesystem::path meeting_folder(const std::filesystem::path& data) {
  std::string folder = data.lexically_normal().string();
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  return folder + "-agent";
}

std::filesystem::path default_ingest_socket(const std::filesystem::path& data) {
  return meeting_folder(data) / "ingest.sock";
}

std::filesystem::path default_spool(const std::filesystem::path& data) {
  return meeting_folder(data) / "spool";
}

Result<std::optional<UserIdentity>> prepare_book(const std::filesystem::path& data) {
  if (geteuid() != 0) return std::nullopt;
  const auto folder = hold_folder(data);
  if (!folder) return std::unexpected(folder.error());
  UserIdentity owner{folder->about.st_uid, folder->about.st_gid, name_of(folder->about.st_uid)};
  if (owner.uid == 0) {
    auto found = owner_of_book(*folder);
    if (!found) return std::unexpected(found.error());
    owner = std::move(*found);
    if (Status given = give(*folder, owner, marks_book); !given) return std::unexpected(given.error());
  }
  const auto agent = agent_user();
  if (!agent) return std::unexpected(agent.error());
  if (agent->uid == owner.uid)
    return fail(ErrorCode::kUnavailable, fmt::format("{} belongs to {}, as whom the agent runs, which must not read it; give it to "
                                                     "another user with chown -R",
                                                     folder->path.string(), owner.name));
  const auto meeting = hold_folder(meeting_folder(data));
  if (!meeting) return std::unexpected(meeting.error());
  if (fchown(meeting->fd.get(), owner.uid, agent->gid) != 0 || fchmod(meeting->fd.get(), kOwnerAndPassingGroup) != 0)
    return failed(meeting->path);
  return owner;
}

Result<std::optional<UserIdentity>> prepare_agent(const std::filesystem::path& spool) {
  if (geteuid() != 0) return std::nullopt;
  return prepare_folder(spool, agent_user(), marks_spool);
}

std::filesystem::path default_positions(const std::filesystem::path& data, bool apart) {
  return meeting_folder(data) / (apart ? "follow" : "logs");
}

Result<std::optional<UserIdentity>> prepare_logs(const std::filesystem::path& positions) {
  if (geteuid() != 0) return std::nullopt;
  return prepare_folder(positions, logs_user(), marks_positions);
}

Result<std::optional<UserIdentity>> prepare_receiver(const std::filesystem::path& spool) {
  if (geteuid() != 0) return std::nullopt;
  auto user = logs_user();
  const auto agent = agent_user();
  if (!user || !agent) return std::unexpected(user ? agent.error() : user.error());
  user->gid = agent->gid;  // which may pass through the meeting place; no capability does it here
  return prepare_folder(spool, std::move(user), marks_spool);
}

std::filesystem::path seen_from_spool(const std::filesystem::path& socket, const std::filesystem::path& spool) {
  std::error_code error;
  const auto beside = std::filesystem::absolute(spool, error).lexically_normal().parent_path();
  const auto absolute = std::filesystem::absolute(socket, error).lexically_normal();
  return absolute.parent_path() == beside ? ".." / absolute.filename() : absolute;
}

}  // namespace portbook
