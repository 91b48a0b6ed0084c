// A ring buffer of the kernel's layout that a test writes.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "capture/event_ring.h"

namespace portbook {

// A ring as the kernel lays it out, in a file of its own. The data is not mirrored: records of these tests never wrap.
class FakeRing {
 public:
  static constexpr size_t kBytes = 4096;
  FakeRing() : fd_(memfd_create("ring", MFD_CLOEXEC)) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(2 * page + 2 * kBytes)), 0);
    pages_ = static_cast<char*>(mmap(nullptr, 2 * page + 2 * kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    consumer = reinterpret_cast<uint64_t*>(pages_);
    producer_ = reinterpret_cast<uint64_t*>(pages_ + page);
    data_ = pages_ + 2 * page;
  }
  ~FakeRing() { close(fd_); }
  FakeRing(const FakeRing&) = delete;

  // As bpf_ringbuf_reserve(); returns where the record is.
  uint64_t reserve(std::string_view bytes) {
    const uint64_t at = *producer_;
    const uint32_t head = static_cast<uint32_t>(bytes.size()) | 1u << 31;
    std::memcpy(data_ + at, &head, sizeof head);
    std::memcpy(data_ + at + 8, bytes.data(), bytes.size());
    *producer_ = at + (bytes.size() + 8 + 7) / 8 * 8;
    return at;
  }
  void finish(uint64_t at, bool discard) {
    uint32_t head = 0;
    std::memcpy(&head, data_ + at, sizeof head);
    head = (head & ~(1u << 31)) | (discard ? 1u << 30 : 0);
    std::memcpy(data_ + at, &head, sizeof head);
  }
  EventRing open() { return *EventRing::map(fd_, kBytes); }

  uint64_t* consumer = nullptr;

 private:
  int fd_;
  char* pages_ = nullptr;
  uint64_t* producer_ = nullptr;
  char* data_ = nullptr;
};

}  // namespace portbook
