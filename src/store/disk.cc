#include "store/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace portbook {

namespace {

std::unexpected<Error> system_error(int error, std::string_view what, const std::string& path) {
  ErrorCode code = ErrorCode::kIo;
  if (error == ENOENT) code = ErrorCode::kNotFound;
  if (error == EACCES || error == EPERM || error == EROFS) code = ErrorCode::kDenied;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) code = ErrorCode::kLimit;
  return fail(code, fmt::format("{} {}: {}", what, path, std::strerror(error)));
}

class MachineFile final : public File {
 public:
  MachineFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~MachineFile() override { close(fd_); }
  MachineFile(const MachineFile&) = delete;
  MachineFile& operator=(const MachineFile&) = delete;

  Status write_at(uint64_t offset, ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return system_error(written < 0 ? errno : EIO, "cannot write", path_);
      bytes = bytes.subspan(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
    return {};
  }

  Result<size_t> read_at(uint64_t offset, std::span<Byte> into) override {
    size_t total = 0;
    while (total < into.size()) {
      const ssize_t got = pread(fd_, into.data() + total, into.size() - total, static_cast<off_t>(offset + total));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return system_error(errno, "cannot read", path_);
      if (got == 0) break;
      total += static_cast<size_t>(got);
    }
    return total;
  }

  Status sync() override {
    if (fdatasync(fd_) != 0) return fail(ErrorCode::kIo, fmt::format("cannot sync {}: {}", path_, std::strerror(errno)));
    return {};
  }

  Status reserve(uint64_t bytes) override {
    int error = EINTR;
    while (error == EINTR) error = posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
    if (error != 0) return system_error(error, "cannot reserve space for", path_);
    return {};
  }

  Result<uint64_t> size() override {
    struct stat about{};
    if (fstat(fd_, &about) != 0) return system_error(errno, "cannot look at", path_);
    return static_cast<uint64_t>(about.st_size);
  }

  // Only what is not dirty goes: a segment is synced before anybody reads it.
  void forget_cached() override { posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

 private:
  int fd_;
  std::string path_;
};

class MachineDisk final : public Disk {
 public:
  explicit MachineDisk(std::filesystem::path folder) : folder_(std::move(folder)) {}

  Result<std::unique_ptr<File>> open_to_read(std::string_view name) override { return open_file(name, O_RDONLY); }
  Result<std::unique_ptr<File>> open_to_write(std::string_view name) override { return open_file(name, O_RDWR); }
  Result<std::unique_ptr<File>> create(std::string_view name) override { return open_file(name, O_RDWR | O_CREAT | O_TRUNC); }

  Status rename(std::string_view from, std::string_view to) override {
    if (::rename(path(from).c_str(), path(to).c_str()) != 0) return system_error(errno, "cannot rename", path(from));
    return {};
  }

  Status remove(std::string_view name) override {
    if (unlink(path(name).c_str()) != 0 && errno != ENOENT) return system_error(errno, "cannot remove", path(name));
    return {};
  }

  Status sync_names() override {
    const int fd = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return system_error(errno, "cannot open", folder_.string());
    const int result = fsync(fd);
    const int error = errno;
    close(fd);
    if (result != 0) return fail(ErrorCode::kIo, fmt::format("cannot sync {}: {}", folder_.string(), std::strerror(error)));
    return {};
  }

  Result<std::vector<std::string>> list() override {
    DIR* folder = opendir(folder_.c_str());
    if (folder == nullptr) return system_error(errno, "cannot open", folder_.string());
    std::vector<std::string> names;
    while (const dirent* entry = readdir(folder)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    closedir(folder);
    std::ranges::sort(names);
    return names;
  }

  [[nodiscard]] std::string where() const override { return folder_.string(); }

 private:
  [[nodiscard]] std::string path(std::string_view name) const { return (folder_ / name).string(); }

  Result<std::unique_ptr<File>> open_file(std::string_view name, int flags) {
    std::string file_path = path(name);
    const int fd = open(file_path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd < 0) return system_error(errno, (flags & O_CREAT) != 0 ? "cannot make" : "cannot open", file_path);
    return std::make_unique<MachineFile>(fd, std::move(file_path));
  }

  std::filesystem::path folder_;
};

}  // namespace

std::unique_ptr<Disk> make_machine_disk(std::filesystem::path folder) {
  return std::make_unique<MachineDisk>(std::move(folder));
}

Result<Bytes> read_file(Disk& disk, std::string_view name, uint64_t bytes_max) {
  const auto file = disk.open_to_read(name);
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (*size > bytes_max) return fail(ErrorCode::kLimit, fmt::format("{} is longer than {} bytes", name, bytes_max));
  Bytes bytes(*size);
  const auto got = (*file)->read_at(0, bytes);
  if (!got) return std::unexpected(got.error());
  bytes.resize(*got);
  return bytes;
}

namespace {

Status write_and_read_back(Disk& disk, const std::string& name, ByteView bytes) {
  {
    const auto file = disk.create(name);
    if (!file) return std::unexpected(file.error());
    if (Status done = (*file)->write_at(0, bytes); !done) return done;
    if (Status done = (*file)->sync(); !done) return done;
  }
  const auto back = read_file(disk, name, bytes.size());
  if (!back) return std::unexpected(back.error());
  if (!std::ranges::equal(*back, bytes))
    return fail(ErrorCode::kIo, fmt::format("{}: what was written reads back differently", name));
  return {};
}

}  // namespace

Status write_file(Disk& disk, std::string_view name, ByteView bytes) {
  const std::string temporary = std::string(name) + ".new";
  if (Status written = write_and_read_back(disk, temporary, bytes); !written) {
    // What is left of it must not hold space on a full disk.
    if (Status removed = disk.remove(temporary); !removed) return removed;
    return written;
  }
  if (Status done = disk.rename(temporary, name); !done) return done;
  return disk.sync_names();
}

}  // namespace portbook
