#include "capture/cgroups.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

namespace portbook {
namespace {

const std::string kId = "8f2c41d09ab7f3e1558f2c41d09ab7f3e1558f2c41d09ab7f3e1558f2c41d09a";

TEST(Cgroups, finds_the_container_as_each_runtime_writes_it) {
  ASSERT_EQ(kId.size(), 64u);
  for (const std::string& path : {
           "/docker/" + kId,                          // cgroupfs driver, version 1
           "/system.slice/docker-" + kId + ".scope",  // systemd driver
           "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + kId + ".scope",
           "/kubepods/besteffort/pod1/" + kId,
           "/machine.slice/crio-" + kId + ".scope",
           "/machine.slice/libpod-" + kId + ".scope/container",
           "/system.slice/docker-" + kId + ".scope/init.scope",
       }) {
    EXPECT_EQ(container_of(path), kId) << path;
  }
}

TEST(Cgroups, takes_the_innermost_container_of_nested_ones) {
  const std::string inner(64, 'a');
  EXPECT_EQ(container_of("/docker/" + kId + "/docker/" + inner), inner);
}

TEST(Cgroups, sees_no_container_where_there_is_none) {
  for (const std::string& path :
       {std::string("/"), std::string(""), std::string("/user.slice/user-1000.slice/session-3.scope"), "/x/" + kId.substr(1),
        "/x/" + kId + "0", std::string("/process_api/da0e20703506ae80ee2c5b51619b6311")}) {
    EXPECT_EQ(container_of(path), "") << path;
  }
}

TEST(Cgroups, finds_the_pod_in_both_spellings) {
  const std::string uid = "6e8b1c2d-0f3a-4b5c-8d7e-9f0a1b2c3d4e";
  EXPECT_EQ(pod_of("/kubepods/burstable/pod" + uid + "/" + kId), uid);
  EXPECT_EQ(
      pod_of("/kubepods.slice/kubepods-burstable-pod6e8b1c2d_0f3a_4b5c_8d7e_9f0a1b2c3d4e.slice/cri-containerd-" + kId + ".scope"),
      uid);
  EXPECT_EQ(pod_of("/system.slice/podman.service"), "");
}

TEST(Cgroups, prefers_the_group_that_names_a_container) {
  Cgroups cgroups;
  cgroups.add(1, false, "/");
  cgroups.add(2, false, "/user.slice");
  cgroups.add(3, false, "/docker/" + kId);
  cgroups.add(1, true, "/some/service");
  cgroups.add(2, true, "/docker/" + kId);
  EXPECT_EQ(cgroups.place(1, 2)->container, kId);  // version 2 says nothing, version 1 does
  EXPECT_EQ(cgroups.place(2, 2)->container, kId);
  EXPECT_EQ(cgroups.place(3, 1)->container, kId);  // version 2 says it
  EXPECT_EQ(cgroups.place(2, 1)->path, "/user.slice");
  EXPECT_EQ(cgroups.place(1, 1)->path, "/some/service");
  EXPECT_EQ(cgroups.place(99, 0), nullptr);
}

TEST(Cgroups, believes_a_group_that_is_made_with_a_used_id) {
  Cgroups cgroups;
  cgroups.add(7, false, "/old");
  EXPECT_EQ(cgroups.place(7, 0)->path, "/old");
  cgroups.add(7, false, "/new");
  EXPECT_EQ(cgroups.place(7, 0)->path, "/new");
}

TEST(Cgroups, forgets_only_those_that_are_gone) {
  std::string pattern = (std::filesystem::temp_directory_path() / "portbook-cgroups-XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const std::filesystem::path root = pattern;
  const std::filesystem::path group = root / "system.slice" / ("docker-" + std::string(64, 'a') + ".scope");
  std::filesystem::create_directories(group);
  struct stat about{};
  ASSERT_EQ(stat(group.c_str(), &about), 0);
  Cgroups cgroups;
  cgroups.scan({root.string(), {}, {}, 0});
  constexpr uint64_t kMade = 200'001;
  constexpr uint64_t kFirst = uint64_t{1} << 62;
  for (uint64_t i = 0; i < kMade; ++i) cgroups.add(kFirst + i, false, "/gone");
  EXPECT_EQ(cgroups.place(about.st_ino, 0)->container, std::string(64, 'a'));
  EXPECT_FALSE(cgroups.knows(kFirst, false));
  EXPECT_TRUE(cgroups.knows(kFirst + kMade - 1, false));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace portbook
