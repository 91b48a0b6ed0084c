#include "capture/poller.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>

#include "capture/outbox.h"
#include "record/cbor.h"

namespace portbook {
namespace {

uint32_t own_namespace() {
  struct stat about{};
  EXPECT_EQ(stat("/proc/self/ns/net", &about), 0);
  return static_cast<uint32_t>(about.st_ino);
}

// The machine's own operations in its own network namespace, whose diagnostics can be made to fail.
class FailingOperations : public Operations {
 public:
  Result<LoadedPrograms> load_programs(const ProgramOptions& options) override { return real_->load_programs(options); }
  void unload_programs() override { real_->unload_programs(); }
  Result<std::vector<std::string>> find_detached() override { return real_->find_detached(); }
  Status attach_again(std::string_view program) override { return real_->attach_again(program); }
  Result<FileDescriptor> open_iterator(std::string_view name, uint32_t netns) override { return real_->open_iterator(name, netns); }
  Result<std::vector<uint32_t>> find_network_namespaces() override {
    const auto found = real_->find_network_namespaces();
    if (!found) return found;
    return std::vector<uint32_t>{own_namespace()};
  }
  Result<FileDescriptor> open_netlink(uint32_t netns, NetlinkKind kind, int receive_bytes) override {
    if (open_failures > 0) {
      --open_failures;
      return fail(ErrorCode::kIo, "told to fail");
    }
    auto opened = real_->open_netlink(netns, kind, receive_bytes);
    if (opened && lists_fd < 0) lists_fd = opened->get();
    return opened;
  }
  Status request_dump(uint32_t netns, DumpKind what, uint32_t seq) override { return real_->request_dump(netns, what, seq); }
  void leave_namespace(uint32_t netns) override { real_->leave_namespace(netns); }
  Result<std::vector<std::string>> set_conntrack_settings(uint32_t) override { return std::vector<std::string>{}; }
  Result<ProcessFiles> read_process(uint32_t pid, uint32_t wanted) override { return real_->read_process(pid, wanted); }
  Result<SocketHolders> find_socket_holders(std::span<const uint32_t> inodes) override {
    return real_->find_socket_holders(inodes);
  }
  Result<FileDescriptor> open_runtime_file(std::string_view path) override { return real_->open_runtime_file(path); }
  std::string carried_out_by() override { return {}; }
  [[nodiscard]] bool lost() const override { return false; }

  std::atomic<int> open_failures = 0;
  std::atomic<int> lists_fd = -1;  // what the poller asks for lists

 private:
  std::unique_ptr<Operations> real_ = make_direct_operations();
};

// Keeps gaps.
class Gaps {
 public:
  void submit(const Batch& batch, const CaptureOptions::Done& done) {
    {
      const std::lock_guard lock(mutex_);
      Record record;
      for (ByteView rest = batch.bytes; !rest.empty();) {
        const size_t length = *encoded_length(rest);
        ASSERT_TRUE(decode(rest.first(length), record).has_value());
        if (record.kind() == Kind::kGap) gaps_.push_back(record);
        rest = rest.subspan(length);
      }
    }
    changed_.notify_all();
    done({});
  }
  // The first gap, once there is one.
  Record first() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] { return !gaps_.empty(); }));
    return gaps_.empty() ? Record() : gaps_.front();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Record> gaps_;
};

struct PollerWorld {
  Gaps gaps;
  FailingOperations operations;
  NatTable nat;
  Outbox outbox{"web-7", [this](const Batch& batch, const CaptureOptions::Done& done) { gaps.submit(batch, done); },
                system_clock()};
  Stream& stream = outbox.open("web-7/socket", 1);
  Poller poller{{}, operations, nat, stream, system_clock()};
};

void expect_gap(const Record& gap, TimeNs began) {
  EXPECT_EQ(gap.uint_or(Field::kNetns, 0), own_namespace());
  EXPECT_EQ(gap.text_or(Field::kCause, ""), "the sockets of this network namespace could not be listed");
  EXPECT_EQ(gap.text_or(Field::kAbout, ""), "web-7/socket");
  EXPECT_LE(gap.uint_or(Field::kStart, UINT64_MAX), gap.uint_or(Field::kEnd, 0));
  EXPECT_GE(gap.uint_or(Field::kEnd, 0), began);
}

TEST(Poller, a_namespace_that_could_not_be_opened_is_tried_again_and_is_a_gap_meanwhile) {
  PollerWorld world;
  world.operations.open_failures = 1;
  const TimeNs began = system_clock().now();
  world.poller.start();
  const Record gap = world.gaps.first();
  expect_gap(gap, began);
  EXPECT_GE(gap.uint_or(Field::kStart, 0), began);
  world.poller.stop();
}

TEST(Poller, a_list_that_fails_is_a_gap_from_the_last_whole_one_to_the_next) {
  PollerWorld world;
  world.poller.start();
  const int lists = world.operations.lists_fd;
  ASSERT_GE(lists, 0);
  const FileDescriptor kept(fcntl(lists, F_DUPFD_CLOEXEC, 0));
  const FileDescriptor nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  const TimeNs broken = system_clock().now();
  ASSERT_EQ(dup2(nothing.get(), lists), lists);
  while (world.poller.report().front().detail.find("Namespace") == std::string::npos) std::this_thread::yield();
  ASSERT_EQ(dup2(kept.get(), lists), lists);
  const Record gap = world.gaps.first();
  expect_gap(gap, broken);
  EXPECT_LE(gap.uint_or(Field::kStart, UINT64_MAX), broken + kNsPerSecond);
  world.poller.stop();
}

}  // namespace
}  // namespace portbook
