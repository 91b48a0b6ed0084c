// A disk in memory that fails as disks fail: it loses power between any two steps, keeps any part of what was not synced, runs
// full, and answers a sync with an error.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "store/disk.h"

namespace portbook {

// What the disk is asked to do is counted: every write, sync, reservation, creation, rename and removal is one step.
class SimDisk final : public Disk {
 public:
  explicit SimDisk(uint64_t seed) : random_(seed) {}

  // Power goes off during the n-th step from now (1: the next one); every later step fails.
  void cut_power_in(uint64_t steps) { power_in_ = steps; }
  // The n-th sync of a file from now fails, and what it should have made durable may be lost though it can still be read.
  void fail_sync_in(uint64_t syncs) { sync_error_in_ = syncs; }
  // The n-th write from now puts one bit wrong.
  void flip_write_in(uint64_t writes) { flip_in_ = writes; }
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }
  [[nodiscard]] bool power_is_off() const { return off_; }
  [[nodiscard]] bool sync_failed() const { return sync_failed_; }
  [[nodiscard]] bool bit_flipped() const { return bit_flipped_; }
  [[nodiscard]] uint64_t steps() const { return steps_; }

  // After a power cut: of what was not synced each sector stays or goes, of the names the older changes stay. Without one (the
  // process was killed) everything is as it was written. Faults not yet met are called off.
  void restart();

  Result<std::unique_ptr<File>> open_to_read(std::string_view name) override;
  Result<std::unique_ptr<File>> open_to_write(std::string_view name) override;
  Result<std::unique_ptr<File>> create(std::string_view name) override;
  Status rename(std::string_view from, std::string_view to) override;
  Status remove(std::string_view name) override;
  Status sync_names() override;
  Result<std::vector<std::string>> list() override;
  [[nodiscard]] std::string where() const override { return "the simulated disk"; }

 private:
  friend class SimFile;
  struct Write {
    uint64_t offset = 0;
    Bytes bytes;
  };
  struct Content {
    Bytes now;      // as the program sees it
    Bytes durable;  // as it is after a power cut, but for `unsynced`
    std::vector<Write> unsynced;
  };
  using Names = std::map<std::string, std::shared_ptr<Content>, std::less<>>;

  // Counts a step; an error once power is off.
  Status step();
  Status change_names(const std::function<void(Names&)>& change);
  [[nodiscard]] uint64_t used() const;
  void lose_unsynced(Content& content);
  Status write(Content& content, uint64_t offset, ByteView bytes);
  Status sync(Content& content);
  Status reserve(Content& content, uint64_t bytes);

  std::mt19937_64 random_;
  Names names_;
  Names durable_names_;
  std::vector<std::function<void(Names&)>> unsynced_names_;
  uint64_t capacity_ = UINT64_MAX;
  uint64_t steps_ = 0;
  uint64_t power_in_ = 0;
  uint64_t sync_error_in_ = 0;
  uint64_t flip_in_ = 0;
  bool off_ = false;
  bool sync_failed_ = false;
  bool bit_flipped_ = false;
};

}  // namespace portbook
