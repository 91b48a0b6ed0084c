// What was used last, up to a number of bytes.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace portbook {

// Thread-safe. What it drops lives on while somebody holds it: values are shared between the cache and its readers.
template <typename T>
class RecentlyUsed {
 public:
  explicit RecentlyUsed(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Null when it is not here.
  std::shared_ptr<T> find(uint64_t key) {
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->value;
  }

  // Returns the value that stays: the one of whoever came first, if two made it at once.
  std::shared_ptr<T> put(uint64_t key, std::shared_ptr<T> value, size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (const auto known = by_key_.find(key); known != by_key_.end()) return known->second->value;
    entries_.push_front({key, bytes, value});
    by_key_.emplace(key, entries_.begin());
    bytes_ += bytes;
    drop();
    return value;
  }

  // Says that the value takes so many bytes now. It is the one used last then, also if it was dropped meanwhile; but not if another
  // has its place.
  void grown(uint64_t key, const std::shared_ptr<T>& value, size_t bytes) {
    if (put(key, value, bytes) != value) return;
    const std::lock_guard lock(mutex_);
    const auto known = by_key_.find(key);
    if (known == by_key_.end() || known->second->value != value) return;
    entries_.splice(entries_.begin(), entries_, known->second);
    bytes_ = bytes_ - known->second->bytes + bytes;
    known->second->bytes = bytes;
    drop();
  }

  [[nodiscard]] size_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  struct Entry {
    uint64_t key = 0;
    size_t bytes = 0;
    std::shared_ptr<T> value;
  };

  // Needs the lock. The one used last stays, however much it takes.
  void drop() {
    while (bytes_ > bytes_max_ && entries_.size() > 1) {
      bytes_ -= entries_.back().bytes;
      by_key_.erase(entries_.back().key);
      entries_.pop_back();
    }
  }

  const size_t bytes_max_;
  mutable std::mutex mutex_;
  size_t bytes_ = 0;
  std::list<Entry> entries_;  // used last comes first
  std::unordered_map<uint64_t, typename std::list<Entry>::iterator> by_key_;
};

}  // namespace portbook
