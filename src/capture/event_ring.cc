#include "capture/event_ring.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

size_t page_bytes() {
  return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Result<EventRing> EventRing::map(int fd, size_t bytes) {
  PB_CHECK(bytes > 0 && (bytes & (bytes - 1)) == 0);
  const size_t page = page_bytes();
  EventRing ring;
  void* consumer = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (consumer == MAP_FAILED) return fail(ErrorCode::kIo, std::string("an event ring cannot be mapped: ") + std::strerror(errno));
  ring.consumer_ = static_cast<uint64_t*>(consumer);
  void* rest = mmap(nullptr, page + 2 * bytes, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(page));
  if (rest == MAP_FAILED) {
    const int error = errno;
    munmap(consumer, page);
    ring.consumer_ = nullptr;
    return fail(ErrorCode::kIo, std::string("an event ring cannot be mapped: ") + std::strerror(error));
  }
  ring.producer_ = static_cast<const uint64_t*>(rest);
  ring.data_ = static_cast<const std::byte*>(rest) + page;
  ring.bytes_ = bytes;
  return ring;
}

EventRing::EventRing(EventRing&& other) noexcept {
  *this = std::move(other);
}

EventRing& EventRing::operator=(EventRing&& other) noexcept {
  std::swap(consumer_, other.consumer_);
  std::swap(producer_, other.producer_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

EventRing::~EventRing() {
  if (consumer_ == nullptr) return;
  const size_t page = page_bytes();
  munmap(consumer_, page);
  munmap(const_cast<uint64_t*>(producer_), page + 2 * bytes_);
}

}  // namespace portbook
