// The operations as a client of the helper sees them.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "privilege/helper.h"
#include "privilege/helper_messages.h"
#include "privilege/message_socket.h"
#include "privilege/process_files.h"

namespace portbook {

namespace {

// Loading all programs takes a second, a minute under software emulation.
constexpr int kPatienceMs = 120'000;

HelperRequest make_request(HelperOperation operation, std::string_view text = {}) {
  HelperRequest request;
  request.head.operation = static_cast<uint8_t>(operation);
  request.head.text_bytes = static_cast<uint16_t>(text.size());
  request.text = text;
  return request;
}

std::unexpected<Error> unreadable() {
  return fail(ErrorCode::kUnavailable, "the privileged helper answered something that cannot be read");
}

class RemoteOperations final : public Operations {
 public:
  explicit RemoteOperations(FileDescriptor socket) : socket_(std::move(socket)) {}

  Result<LoadedPrograms> load_programs(const ProgramOptions& options) override {
    auto reply = ask(make_request(HelperOperation::kLoadPrograms, {reinterpret_cast<const char*>(&options), sizeof options}));
    if (!reply.has_value()) return std::unexpected(reply.error());
    auto loaded = parse_loaded(*reply);
    return loaded ? Result<LoadedPrograms>(std::move(*loaded)) : unreadable();
  }
  void unload_programs() override { std::ignore = ask(make_request(HelperOperation::kUnloadPrograms)); }
  Result<std::vector<std::string>> find_detached() override { return ask_for_list(make_request(HelperOperation::kFindDetached)); }
  Status attach_again(std::string_view program) override {
    if (program.size() > kRequestPathMax) return fail(ErrorCode::kNotFound, "no such program was attached");
    return ask_for_status(make_request(HelperOperation::kAttachAgain, program));
  }
  Result<FileDescriptor> open_iterator(std::string_view name, uint32_t netns) override {
    if (name.size() > kRequestPathMax) return fail(ErrorCode::kUnavailable, std::string(name) + " is not loaded");
    HelperRequest request = make_request(HelperOperation::kOpenIterator, name);
    request.head.number = netns;
    return ask_for_descriptor(request);
  }

  Result<std::vector<uint32_t>> find_network_namespaces() override {
    const auto reply = ask(make_request(HelperOperation::kFindNamespaces));
    if (!reply.has_value()) return std::unexpected(reply.error());
    if (reply->strings.size() != 1 || reply->strings[0].size() % sizeof(uint32_t) != 0) return unreadable();
    std::vector<uint32_t> found(reply->strings[0].size() / sizeof(uint32_t));
    std::memcpy(found.data(), reply->strings[0].data(), reply->strings[0].size());
    return found;
  }
  Result<FileDescriptor> open_netlink(uint32_t netns, NetlinkKind kind, int receive_bytes) override {
    HelperRequest request = make_request(HelperOperation::kOpenNetlink);
    request.head.number = netns;
    request.head.kind = static_cast<uint8_t>(kind);
    request.head.value = static_cast<uint32_t>(receive_bytes);
    return ask_for_descriptor(request);
  }
  Status request_dump(uint32_t netns, DumpKind what, uint32_t seq) override {
    HelperRequest request = make_request(HelperOperation::kRequestDump);
    request.head.number = netns;
    request.head.kind = static_cast<uint8_t>(what);
    request.head.value = seq;
    return ask_for_status(request);
  }
  void leave_namespace(uint32_t netns) override {
    HelperRequest request = make_request(HelperOperation::kLeaveNamespace);
    request.head.number = netns;
    std::ignore = ask(request);
  }
  Result<std::vector<std::string>> set_conntrack_settings(uint32_t netns) override {
    HelperRequest request = make_request(HelperOperation::kSetConntrack);
    request.head.number = netns;
    return ask_for_list(request);
  }

  Result<ProcessFiles> read_process(uint32_t pid, uint32_t wanted) override {
    HelperRequest request = make_request(HelperOperation::kReadProcess);
    request.head.number = pid;
    request.head.value = wanted;
    auto reply = ask(request);
    if (!reply.has_value()) return std::unexpected(reply.error());
    if (reply->strings.size() != kProcessFiles.size()) return unreadable();
    ProcessFiles files;
    for (size_t i = 0; i < kProcessFiles.size(); ++i) files.*kProcessFiles[i].bytes = std::move(reply->strings[i]);
    return files;
  }
  Result<SocketHolders> find_socket_holders(std::span<const uint32_t> inodes) override {
    const auto asked = inodes.first(std::min(inodes.size(), kSocketsAskedMax));
    const auto reply =
        ask(make_request(HelperOperation::kFindSocketHolders, {reinterpret_cast<const char*>(asked.data()), asked.size_bytes()}));
    if (!reply.has_value()) return std::unexpected(reply.error());
    if (reply->strings.size() != 2 || reply->strings[0].size() % sizeof(SocketHolder) != 0) return unreadable();
    SocketHolders holders;
    holders.found.resize(reply->strings[0].size() / sizeof(SocketHolder));
    std::memcpy(holders.found.data(), reply->strings[0].data(), reply->strings[0].size());
    holders.hidden = !reply->strings[1].empty();
    return holders;
  }
  Result<FileDescriptor> open_runtime_file(std::string_view path) override {
    if (path.size() > kRequestPathMax) return fail(ErrorCode::kBadInput, "too long a path");
    return ask_for_descriptor(make_request(HelperOperation::kOpenRuntimeFile, path));
  }

  std::string carried_out_by() override {
    const auto words = ask_for_list(make_request(HelperOperation::kDescribe));
    return words.has_value() && !words->empty() ? words->front() : "a helper that is gone";
  }
  [[nodiscard]] bool lost() const override {
    if (lost_.load()) return true;
    pollfd wait{socket_.get(), 0, 0};
    return poll(&wait, 1, 0) == 1 && (wait.revents & (POLLHUP | POLLERR)) != 0;
  }

 private:
  struct Reply {
    std::vector<std::string> strings;
    std::vector<FileDescriptor> descriptors;
  };

  std::unexpected<Error> lose(std::string_view how) {
    // The helper ends when its client does; a late answer must not be taken for the next one's.
    if (!lost_.exchange(true)) shutdown(socket_.get(), SHUT_RDWR);
    return fail(ErrorCode::kUnavailable, "the privileged helper " + std::string(how));
  }

  Result<Reply> ask(const HelperRequest& request) {
    const std::lock_guard lock(mutex_);
    if (lost_.load()) return lose("is gone");
    if (!send_message(socket_.get(), encode_request(request), {}).has_value()) return lose("is gone");
    pollfd wait{socket_.get(), POLLIN, 0};
    int ready = 0;
    while ((ready = poll(&wait, 1, kPatienceMs)) < 0 && errno == EINTR) {
    }
    if (ready <= 0) return lose("does not answer");
    Reply reply;
    const Status received = receive_message(socket_.get(), kAnswerBytesMax, kAnswerDescriptorsMax, bytes_, reply.descriptors);
    if (!received.has_value() && received.error().code == ErrorCode::kLimit) return std::unexpected(received.error());
    if (!received.has_value()) return lose(received.error().code == ErrorCode::kUnavailable ? "is gone" : "answered too much");
    auto answer = decode_answer(bytes_);
    if (!answer.has_value()) return lose("answered something that cannot be read");
    if (answer->error) return std::unexpected(*answer->error);
    reply.strings = std::move(answer->strings);
    return reply;
  }

  Status ask_for_status(const HelperRequest& request) {
    const auto reply = ask(request);
    return reply.has_value() ? Status() : std::unexpected(reply.error());
  }
  Result<std::vector<std::string>> ask_for_list(const HelperRequest& request) {
    auto reply = ask(request);
    if (!reply.has_value()) return std::unexpected(reply.error());
    return std::move(reply->strings);
  }
  Result<FileDescriptor> ask_for_descriptor(const HelperRequest& request) {
    auto reply = ask(request);
    if (!reply.has_value()) return std::unexpected(reply.error());
    if (reply->descriptors.size() != 1) return unreadable();
    return std::move(reply->descriptors.front());
  }

  static std::optional<LoadedPrograms> parse_loaded(Reply& reply) {
    std::vector<std::string>& in = reply.strings;
    std::array<size_t, 3> counts{};
    if (in.size() < counts.size()) return std::nullopt;
    for (size_t i = 0; i < counts.size(); ++i) {
      std::from_chars(in[i].data(), in[i].data() + in[i].size(), counts[i]);
      if (counts[i] > in.size()) return std::nullopt;
    }
    const auto [attached, missing, maps] = counts;
    if (in.size() != counts.size() + attached + 2 * missing + maps || reply.descriptors.size() != maps) return std::nullopt;
    LoadedPrograms loaded;
    auto at = in.begin() + counts.size();
    for (size_t i = 0; i < attached; ++i) loaded.attached.push_back(std::move(*at++));
    for (size_t i = 0; i < missing; ++i, at += 2) loaded.missing.push_back({std::move(at[0]), std::move(at[1])});
    for (size_t i = 0; i < maps; ++i) loaded.maps.push_back({std::move(*at++), std::move(reply.descriptors[i])});
    return loaded;
  }

  const FileDescriptor socket_;
  std::atomic<bool> lost_ = false;
  std::mutex mutex_;
  Bytes bytes_;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<Operations> make_remote_operations(FileDescriptor socket) {
  return std::make_unique<RemoteOperations>(std::move(socket));
}

}  // namespace portbook
