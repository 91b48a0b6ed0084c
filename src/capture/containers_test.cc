#include "capture/containers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "privilege/runtime_files.h"

namespace portbook {
namespace {

const std::string kId = "8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a";
const std::string kOther = "00004b6a8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a8f2c4b6a";

// The files of a host, in a folder of the test's own.
class RuntimeFiles {
 public:
  RuntimeFiles() : root_(std::filesystem::path(testing::TempDir()) / ("containers" + std::to_string(getpid()))) {}
  ~RuntimeFiles() { std::filesystem::remove_all(root_); }
  void write(std::string path, std::string_view text) {
    const std::filesystem::path file = root_ / path.substr(1);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  [[nodiscard]] OpenRuntimeFile opener() const {
    return [this](std::string_view path) -> Result<FileDescriptor> {
      EXPECT_TRUE(is_runtime_file(path)) << path;
      FileDescriptor fd(open((root_.string() + std::string(path)).c_str(), O_RDONLY | O_CLOEXEC));
      if (!fd.valid()) return fail(ErrorCode::kNotFound, std::string(path));
      return fd;
    };
  }

 private:
  std::filesystem::path root_;
};

TEST(ContainerName, docker) {
  EXPECT_EQ(container_name_of(R"({"ID":"x","Name":"/web","Config":{"Image":"nginx","Labels":{}},"State":{"Running":true}})", kId),
            "web");
  EXPECT_EQ(container_name_of(R"({"Name":"web"})", kId), "web");
}

TEST(ContainerName, docker_that_a_kubelet_drives) {
  EXPECT_EQ(container_name_of(R"({"Name":"/k8s_nginx_web-0_shop_uid_0","Config":{"Labels":{"io.kubernetes.container.name":"nginx",
    "io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop"}}})",
                              kId),
            "shop/web-0/nginx");
}

TEST(ContainerName, containerd_of_a_kubelet) {
  EXPECT_EQ(container_name_of(R"({"ociVersion":"1.1.0","process":{"args":["nginx"]},"annotations":{
    "io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.container-type":"container",
    "io.kubernetes.cri.sandbox-id":"abc","io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"shop"}})",
                              kId),
            "shop/web-0/nginx");
  // The sandbox itself.
  EXPECT_EQ(
      container_name_of(R"({"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"web-0",
    "io.kubernetes.cri.sandbox-namespace":"shop"}})",
                        kId),
      "shop/web-0/POD");
}

TEST(ContainerName, cri_o) {
  EXPECT_EQ(container_name_of(R"({"annotations":{"io.container.manager":"cri-o","io.kubernetes.container.name":"app",
    "io.kubernetes.pod.name":"api-1","io.kubernetes.pod.namespace":"default","io.kubernetes.pod.uid":"u"}})",
                              kId),
            "default/api-1/app");
}

TEST(ContainerName, podman) {
  const std::string list =
      R"([{"id":")" + kOther + R"(","names":["db"],"image":"i"},{"id":")" + kId + R"(","names":["web","alias"]}])";
  EXPECT_EQ(container_name_of(list, kId), "web");
  EXPECT_EQ(container_name_of(list, std::string(64, 'f')), "");
}

TEST(ContainerName, what_is_no_description_has_no_name) {
  const std::string docker = R"({"Name":"/web"})";
  for (size_t length = 0; length < docker.size(); ++length) EXPECT_EQ(container_name_of(docker.substr(0, length), kId), "");
  for (const char* text : {"[]", "{}", "null", "[1,2]", R"({"Name":7})", R"({"annotations":[]})", R"([{"id":"x","names":[]}])"})
    EXPECT_EQ(container_name_of(text, kId), "") << text;
  EXPECT_EQ(container_name_of(R"({"Name":")" + std::string(1000, 'n') + R"("})", kId).size(), 256u);
}

TEST(ContainerName, is_looked_for_in_every_runtimes_files) {
  const std::string cri = R"({"annotations":{"io.kubernetes.cri.container-name":"c","io.kubernetes.cri.sandbox-name":"p",
                              "io.kubernetes.cri.sandbox-namespace":"n"}})";
  const std::vector<std::pair<std::string, std::string>> files = {
      {"/var/lib/docker/containers/" + kId + "/config.v2.json", R"({"Name":"/n/p/c"})"},
      {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + kId + "/config.json", cri},
      {"/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" + kId + "/config.json", cri},
      {"/run/containers/storage/overlay-containers/" + kId + "/userdata/config.json", cri},
      {"/var/lib/containers/storage/overlay-containers/containers.json", R"([{"id":")" + kId + R"(","names":["n/p/c"]}])"},
      {"/var/lib/containers/storage/overlay-containers/volatile-containers.json", R"([{"id":")" + kId + R"(","names":["n/p/c"]}])"},
  };
  for (const auto& [path, text] : files) {
    RuntimeFiles host;
    EXPECT_EQ(read_container_name(host.opener(), kId), "");
    host.write(path, text);
    EXPECT_EQ(read_container_name(host.opener(), kId), "n/p/c") << path;
  }
}

TEST(ContainerName, a_config_without_a_name_does_not_hide_the_list_that_has_it) {
  RuntimeFiles host;
  host.write("/run/containers/storage/overlay-containers/" + kId + "/userdata/config.json",
             R"({"annotations":{"io.container.manager":"libpod"}})");
  host.write("/var/lib/containers/storage/overlay-containers/containers.json", R"([{"id":")" + kId + R"(","names":["web"]}])");
  EXPECT_EQ(read_container_name(host.opener(), kId), "web");
}

TEST(ContainerNames, come_later_and_are_looked_for_again) {
  RuntimeFiles host;
  ContainerNames names(host.opener());
  uint64_t now = 100 * kNsPerSecond;
  EXPECT_EQ(names.find(kId, now), "");
  host.write("/var/lib/docker/containers/" + kId + "/config.v2.json", R"({"Name":"/web"})");
  // Four looks at most, three seconds apart: the first may have come before the file, the later ones have not.
  while (names.find(kId, now).empty()) {
    now += kNsPerSecond / 1000;
    std::this_thread::yield();
  }
  EXPECT_EQ(names.find(kId, now), "web");
}

TEST(ContainerNames, those_that_wait_are_bounded_and_the_others_are_found_later) {
  RuntimeFiles host;
  host.write("/var/lib/docker/containers/" + kId + "/config.v2.json", R"({"Name":"/web"})");
  std::atomic<bool> slow = true;
  std::atomic<uint32_t> opened = 0;
  ContainerNames names([&, open = host.opener()](std::string_view path) {
    ++opened;
    slow.wait(true);
    return open(path);
  });
  const uint64_t now = 100 * kNsPerSecond;
  constexpr uint32_t kAsked = 3'000;
  for (uint32_t i = 0; i < kAsked; ++i) EXPECT_EQ(names.find(fmt::format("{:064x}", i), now), "");
  EXPECT_EQ(names.find(kId, now), "");
  slow = false;
  slow.notify_all();
  while (names.find(kId, now).empty()) std::this_thread::yield();
  constexpr uint32_t kFilesOfEach = 9;
  EXPECT_LE(opened, (1'000 + 2) * kFilesOfEach);
}

}  // namespace
}  // namespace portbook
