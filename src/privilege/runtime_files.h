// The files in which container runtimes describe their containers: the only ones outside of /proc that are read for somebody else.
#pragma once

#include <array>
#include <string_view>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace portbook {

// ID stands for 64 lower-case hexadecimal digits, NAME for one name of letters, digits, '.', '_' and '-' that does not begin with
// '.'.
inline constexpr std::array<std::string_view, 8> kRuntimeFiles = {
    "/var/lib/docker/containers/ID/config.v2.json",                             // docker
    "/run/containerd/io.containerd.runtime.v2.task/NAME/ID/config.json",        // containerd; k8s.io, moby, default
    "/run/containerd/io.containerd.runtime.v1.linux/NAME/ID/config.json",       // containerd before 1.4
    "/run/k3s/containerd/io.containerd.runtime.v2.task/NAME/ID/config.json",    // k3s
    "/var/lib/containers/storage/overlay-containers/ID/userdata/config.json",   // podman, CRI-O
    "/run/containers/storage/overlay-containers/ID/userdata/config.json",       // podman, CRI-O
    "/var/lib/containers/storage/overlay-containers/containers.json",           // podman: names
    "/var/lib/containers/storage/overlay-containers/volatile-containers.json",  // podman: names of --rm containers
};

// Whether a path is one that the list above allows.
bool is_runtime_file(std::string_view path);

// A regular file on the list, open for reading; its last name is no link. Errors: kBadInput (not on the list), kNotFound, kDenied,
// kIo.
Result<FileDescriptor> open_listed_runtime_file(std::string_view path);

}  // namespace portbook
