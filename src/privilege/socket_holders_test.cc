#include "privilege/socket_holders.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace portbook {
namespace {

uint32_t inode_of(int fd) {
  struct stat about{};
  EXPECT_EQ(fstat(fd, &about), 0);
  return static_cast<uint32_t>(about.st_ino);
}

TEST(SocketHolderSearch, finds_this_process_by_its_socket) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  SocketHolderSearch search;
  const uint32_t inode = inode_of(socket.get());
  for (int i = 0; i < 2; ++i) {
    const SocketHolders holders = search.find(std::array{inode});
    ASSERT_EQ(holders.found.size(), 1u);
    EXPECT_EQ(holders.found[0].inode, inode);
    EXPECT_EQ(holders.found[0].pid, static_cast<uint32_t>(getpid()));
  }
}

TEST(SocketHolderSearch, names_nobody_for_a_socket_that_is_gone) {
  uint32_t inode = 0;
  {
    const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    inode = inode_of(socket.get());
  }
  EXPECT_TRUE(SocketHolderSearch().find(std::array{inode}).found.empty());
}

TEST(SocketHolderSearch, reads_only_sockets_of_processes) {
  const std::filesystem::path proc = std::filesystem::path(testing::TempDir()) / ("proc" + std::to_string(getpid()));
  std::filesystem::create_directories(proc / "17" / "fd");
  std::filesystem::create_directories(proc / "self" / "fd");
  std::filesystem::create_directories(proc / "18");
  std::filesystem::create_symlink("socket:[4711]", proc / "17" / "fd" / "3");
  std::filesystem::create_symlink("pipe:[4712]", proc / "17" / "fd" / "4");
  std::filesystem::create_symlink("socket:[4713x]", proc / "17" / "fd" / "5");
  std::filesystem::create_symlink("socket:[4714]", proc / "self" / "fd" / "3");
  const SocketHolders holders = SocketHolderSearch(proc.string()).find(std::array{4711u, 4712u, 4713u, 4714u});
  ASSERT_EQ(holders.found.size(), 1u);
  EXPECT_EQ(holders.found[0].pid, 17u);
  EXPECT_FALSE(holders.hidden);
  std::filesystem::remove_all(proc);
}

}  // namespace
}  // namespace portbook
