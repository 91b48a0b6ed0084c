#include "cli/boundaries.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace portbook {

namespace {

constexpr mode_t kOwnerOnly = 0700;
constexpr mode_t kOwnerAndPassingGroup = 0710;

std::unexpected<Error> failed(const std::filesystem::path& path) {
  return fail(errno == EACCES || errno == EPERM ? ErrorCode::kDenied : ErrorCode::kIo,
              fmt::format("{}: {}", path.string(), std::strerror(errno)));
}

// Makes the folder, and gives it to this user and group with this mode when it made it or `always`. Links are not followed.
Status make_folder(const std::filesystem::path& path, uint32_t uid, uint32_t gid, mode_t mode, bool always) {
  std::error_code error;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  const bool made = mkdir(path.c_str(), kOwnerOnly) == 0;
  if (!made && errno != EEXIST) return failed(path);
  if (!made && !always) return {};
  const FileDescriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid() || fchown(folder.get(), uid, gid) != 0 || fchmod(folder.get(), mode) != 0) return failed(path);
  return {};
}

std::string name_of(uint32_t uid) {
  std::array<char, 16 * 1024> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return fmt::format("uid {}", uid);
}

// The system's user portbook; where there is none, the owner of the folder that it is made in, who can reach it.
Result<UserIdentity> owner_of_new_book(const std::filesystem::path& data) {
  std::array<char, 16 * 1024> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r("portbook", &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    return UserIdentity{found->pw_uid, found->pw_gid, "portbook"};
  std::error_code error;
  const std::filesystem::path above = std::filesystem::absolute(data, error).lexically_normal().parent_path();
  std::filesystem::create_directories(above, error);
  struct stat about{};
  if (stat(above.c_str(), &about) != 0) return failed(above);
  return UserIdentity{about.st_uid, about.st_gid, name_of(about.st_uid)};
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
  const auto owner = owner_of_new_book(data);
  if (!owner) return std::unexpected(owner.error());
  if (auto made = make_folder(data, owner->uid, owner->gid, kOwnerOnly, false); !made) return std::unexpected(made.error());
  struct stat about{};
  if (stat(data.c_str(), &about) != 0) return failed(data);
  const auto agent = agent_user();
  if (!agent) return std::unexpected(agent.error());
  if (auto made = make_folder(meeting_folder(data), about.st_uid, agent->gid, kOwnerAndPassingGroup, true); !made)
    return std::unexpected(made.error());
  if (about.st_uid == 0) return std::nullopt;
  return UserIdentity{about.st_uid, about.st_gid, name_of(about.st_uid)};
}

Result<std::optional<UserIdentity>> prepare_agent(const std::filesystem::path& spool) {
  if (geteuid() != 0) return std::nullopt;
  auto user = agent_user();
  if (!user) return std::unexpected(user.error());
  if (auto made = make_folder(spool, user->uid, user->gid, kOwnerOnly, true); !made) return std::unexpected(made.error());
  if (chdir(spool.c_str()) != 0) return failed(spool);
  // The agent's number may have been another one before.
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(".", error)) {
    if (lchown(file.path().c_str(), user->uid, user->gid) != 0) return failed(file.path());
  }
  return *user;
}

std::filesystem::path seen_from_spool(const std::filesystem::path& socket, const std::filesystem::path& spool) {
  std::error_code error;
  const auto beside = std::filesystem::absolute(spool, error).lexically_normal().parent_path();
  const auto absolute = std::filesystem::absolute(socket, error).lexically_normal();
  return absolute.parent_path() == beside ? ".." / absolute.filename() : absolute;
}

}  // namespace portbook
