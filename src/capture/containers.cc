#include "capture/containers.h"

#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/clock.h"

namespace portbook {

namespace {

constexpr size_t kFileBytesMax = size_t{4} << 20;
constexpr size_t kContainersMax = 20'000;
constexpr size_t kNameBytesMax = 256;
constexpr size_t kWantedMax = 1'000;  // waiting to be looked for; further ones are asked for again later
// A runtime writes its files about when it starts the container; what has no name then may have one a little later.
constexpr uint64_t kLookAgainNs = 3 * kNsPerSecond;
constexpr uint32_t kLooksMax = 4;

// ID stands for the container's.
constexpr auto kFiles = std::to_array<std::string_view>({
    "/var/lib/docker/containers/ID/config.v2.json",
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json",
    "/run/containerd/io.containerd.runtime.v2.task/default/ID/config.json",
    "/run/containerd/io.containerd.runtime.v1.linux/k8s.io/ID/config.json",
    "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json",
    "/run/containers/storage/overlay-containers/ID/userdata/config.json",
    "/var/lib/containers/storage/overlay-containers/ID/userdata/config.json",
    "/var/lib/containers/storage/overlay-containers/containers.json",
    "/var/lib/containers/storage/overlay-containers/volatile-containers.json",
});

// Who names what in annotations and labels: containerd's CRI, CRI-O and the kubelet's docker labels.
struct Keys {
  std::string_view container;
  std::string_view pod;
  std::string_view space;
};
constexpr auto kKeys = std::to_array<Keys>({
    {"io.kubernetes.cri.container-name", "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-namespace"},
    {"io.kubernetes.container.name", "io.kubernetes.pod.name", "io.kubernetes.pod.namespace"},
});

std::string_view text_of(simdjson::simdjson_result<simdjson::dom::element> element) {
  std::string_view text;
  return element.get(text) == simdjson::SUCCESS ? text : std::string_view();
}

// NAMESPACE/POD/CONTAINER; a pod's own container, which has no name, is POD.
std::string kubernetes_name(simdjson::simdjson_result<simdjson::dom::element> annotations) {
  simdjson::dom::object values;
  if (annotations.get(values) != simdjson::SUCCESS) return {};
  for (const Keys& keys : kKeys) {
    const std::string_view pod = text_of(values[keys.pod]);
    if (pod.empty()) continue;
    const std::string_view container = text_of(values[keys.container]);
    return fmt::format("{}/{}/{}", text_of(values[keys.space]), pod, container.empty() ? "POD" : container);
  }
  return {};
}

// The first of "names" of the entry with that id.
std::string name_in_list(simdjson::dom::array containers, std::string_view id) {
  for (const simdjson::dom::element one : containers) {
    if (text_of(one["id"]) != id) continue;
    simdjson::dom::array names;
    if (one["names"].get(names) != simdjson::SUCCESS || names.size() == 0) return {};
    return std::string(text_of(names.at(0)));
  }
  return {};
}

std::string read_all(int fd) {
  std::string bytes;
  std::array<char, 16 * 1024> part;
  for (ssize_t got = read(fd, part.data(), part.size()); got > 0; got = read(fd, part.data(), part.size())) {
    if (bytes.size() + static_cast<size_t>(got) > kFileBytesMax) return {};
    bytes.append(part.data(), static_cast<size_t>(got));
  }
  return bytes;
}

}  // namespace

std::string container_name_of(std::string_view json, std::string_view id) {
  simdjson::dom::parser parser(kFileBytesMax + 1);
  simdjson::dom::element root;
  const simdjson::padded_string padded(json);
  if (parser.parse(padded).get(root) != simdjson::SUCCESS) return {};
  std::string name;
  simdjson::dom::array list;
  if (root.get(list) == simdjson::SUCCESS) {
    name = name_in_list(list, id);
  } else if (root.is_object()) {
    name = kubernetes_name(root["annotations"]);
    if (name.empty()) name = kubernetes_name(root["Config"]["Labels"]);
    if (name.empty()) {
      const std::string_view docker = text_of(root["Name"]);
      name = docker.substr(docker.starts_with('/') ? 1 : 0);
    }
  }
  name.resize(std::min(name.size(), kNameBytesMax));
  return name;
}

std::string read_container_name(const OpenRuntimeFile& open, std::string_view id) {
  for (const std::string_view file : kFiles) {
    std::string path(file);
    if (const size_t at = path.find("ID"); at != std::string::npos) path.replace(at, 2, id);
    const auto fd = open(path);
    if (!fd.has_value()) continue;
    if (std::string name = container_name_of(read_all(fd->get()), id); !name.empty()) return name;
  }
  return {};
}

ContainerNames::~ContainerNames() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string ContainerNames::find(std::string_view id, uint64_t now_boot_ns) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kContainersMax) known_.clear();
  Known& known = known_[std::string(id)];
  if (!known.name.empty()) return known.name;
  if (known.asked || known.looks >= kLooksMax || now_boot_ns < known.look_again || wanted_.size() >= kWantedMax) return {};
  known.asked = true;
  ++known.looks;
  known.look_again = now_boot_ns + kLookAgainNs;
  wanted_.emplace_back(id);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_all();
  return {};
}

void ContainerNames::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !wanted_.empty(); });
    if (stopping_) return;
    const std::string id = std::move(wanted_.front());
    wanted_.pop_front();
    lock.unlock();
    std::string name = read_container_name(open_, id);
    lock.lock();
    Known& known = known_[id];
    known.name = std::move(name);
    known.asked = false;
  }
}

}  // namespace portbook
