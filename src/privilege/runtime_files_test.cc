#include "privilege/runtime_files.h"

#include <gtest/gtest.h>

#include <string>

namespace portbook {
namespace {

const std::string kId = "8f2c41d09ab7f3e1558f2c41d09ab7f3e1558f2c41d09ab7f3e1558f2c41d09a";

TEST(RuntimeFiles, allows_what_each_runtime_writes) {
  for (const std::string& path : {
           "/var/lib/docker/containers/" + kId + "/config.v2.json",
           "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + kId + "/config.json",
           "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" + kId + "/config.json",
           "/var/lib/containers/storage/overlay-containers/" + kId + "/userdata/config.json",
           std::string("/var/lib/containers/storage/overlay-containers/containers.json"),
       }) {
    EXPECT_TRUE(is_runtime_file(path)) << path;
  }
}

TEST(RuntimeFiles, allows_nothing_else) {
  const std::string docker = "/var/lib/docker/containers/";
  for (const std::string& path : {
           std::string(""),
           std::string("/"),
           std::string("/etc/shadow"),
           docker + kId,
           docker + kId + "/",
           docker + kId + "/config.v2.json/",
           docker + kId + "/config.v2.json/x",
           docker + kId + "/hostconfig.json",
           docker + kId.substr(1) + "/config.v2.json",
           docker + kId + "0/config.v2.json",
           docker + "../../../etc/shadow",
           docker + std::string(64, 'A') + "/config.v2.json",
           docker + std::string(64, '.') + "/config.v2.json",
           docker + "/" + kId + "/config.v2.json",
           "/" + docker + kId + "/config.v2.json",
           "var/lib/docker/containers/" + kId + "/config.v2.json",
           "/run/containerd/io.containerd.runtime.v2.task/../" + kId + "/config.json",
           "/run/containerd/io.containerd.runtime.v2.task/a/b/" + kId + "/config.json",
           "/run/containerd/io.containerd.runtime.v2.task//" + kId + "/config.json",
           "/run/containerd/io.containerd.runtime.v2.task/" + std::string(256, 'a') + "/" + kId + "/config.json",
           docker + kId + std::string("/config.v2.json\0", 16),
       }) {
    EXPECT_FALSE(is_runtime_file(path)) << path;
    const auto opened = open_listed_runtime_file(path);
    ASSERT_FALSE(opened.has_value()) << path;
    EXPECT_EQ(opened.error().code, ErrorCode::kBadInput) << path;
  }
}

TEST(RuntimeFiles, says_that_a_listed_file_is_not_there) {
  const auto opened = open_listed_runtime_file("/var/lib/docker/containers/" + kId + "/config.v2.json");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace portbook
