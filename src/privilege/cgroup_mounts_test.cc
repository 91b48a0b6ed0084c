#include "privilege/cgroup_mounts.h"

#include <gtest/gtest.h>

namespace portbook {
namespace {

TEST(CgroupMounts, finds_the_mounts_of_a_hybrid_machine) {
  const char* mountinfo =
      "30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n"
      "31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev - cgroup2 cgroup2 rw,nsdelegate\n"
      "36 30 0:32 / /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids\n"
      "37 30 0:33 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n";
  const CgroupMounts mounts = find_cgroup_mounts(mountinfo, "8:pids:/\n4:memory:/process_api\n0::/\n");
  EXPECT_EQ(mounts.version2, "/sys/fs/cgroup/unified");
  EXPECT_EQ(mounts.version1, "/sys/fs/cgroup/memory");
  EXPECT_EQ(mounts.version1_controller, "memory");
  EXPECT_EQ(mounts.version1_hierarchy, 4);
}

TEST(CgroupMounts, finds_nothing_in_broken_mountinfo) {
  for (const char* text : {"", "\n\n", "garbage", "1 2 3 - cgroup2", "31 30 0:27 / /x rw -"}) {
    const CgroupMounts mounts = find_cgroup_mounts(text, text);
    EXPECT_EQ(mounts.version2, "") << text;
    EXPECT_EQ(mounts.version1_hierarchy, 0) << text;
  }
}

}  // namespace
}  // namespace portbook
