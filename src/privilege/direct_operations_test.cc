#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "privilege/operations.h"
#include "privilege/process_files.h"

namespace portbook {
namespace {

TEST(ReadProcess, gives_what_was_asked_for_of_this_process) {
  const auto operations = make_direct_operations();
  const auto files = operations->read_process(static_cast<uint32_t>(getpid()), kProcessStat | kProcessExe | kProcessCmdline);
  ASSERT_TRUE(files.has_value()) << files.error().message;
  EXPECT_TRUE(files->stat.starts_with(std::to_string(getpid()) + " ("));
  EXPECT_TRUE(files->exe.ends_with("/portbook_privilege_test")) << files->exe;
  EXPECT_NE(files->cmdline.find("portbook_privilege_test"), std::string::npos);
  EXPECT_EQ(files->status, "");
  EXPECT_EQ(files->cwd, "");
}

TEST(ReadProcess, tells_a_process_that_is_not_there) {
  const auto operations = make_direct_operations();
  const auto files = operations->read_process(0x7fffffff, kProcessFilesAll);
  ASSERT_FALSE(files.has_value());
  EXPECT_EQ(files.error().code, ErrorCode::kNotFound);
}

TEST(ReadProcess, lists_its_files_in_the_order_of_their_bits) {
  uint32_t all = 0;
  for (size_t i = 0; i < kProcessFiles.size(); ++i) {
    EXPECT_EQ(kProcessFiles[i].bit, 1u << i);
    all |= kProcessFiles[i].bit;
  }
  EXPECT_EQ(all, kProcessFilesAll);
}

TEST(DirectOperations, knows_no_namespace_before_it_has_searched) {
  const auto operations = make_direct_operations();
  const auto opened = operations->open_netlink(1, NetlinkKind::kRoute, 1 << 16);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(operations->request_dump(1, DumpKind::kLinks, 1).error().code, ErrorCode::kNotFound);
}

TEST(DirectOperations, finds_the_own_namespace) {
  const auto operations = make_direct_operations();
  std::array<char, 64> target{};
  ASSERT_GT(readlink("/proc/self/ns/net", target.data(), target.size()), 0);
  const auto found = operations->find_network_namespaces();
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(std::ranges::is_sorted(*found));
  const bool contained =
      std::ranges::any_of(*found, [&](uint32_t netns) { return "net:[" + std::to_string(netns) + "]" == target.data(); });
  EXPECT_TRUE(contained);
}

TEST(DirectOperations, who_cannot_list_processes_does_not_say_that_there_is_no_namespace) {
  const auto operations = make_direct_operations();
  EXPECT_TRUE(operations->find_network_namespaces().has_value());  // a sanitizer too needs descriptors at first
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto found = operations->find_network_namespaces();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::kIo);
}

TEST(DirectOperations, has_no_iterator_and_nothing_to_attach_before_programs_are_loaded) {
  const auto operations = make_direct_operations();
  EXPECT_EQ(operations->open_iterator("list_processes", 0).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(operations->attach_again("on_socket").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(operations->find_detached()->empty());
  EXPECT_FALSE(operations->lost());
}

}  // namespace
}  // namespace portbook
