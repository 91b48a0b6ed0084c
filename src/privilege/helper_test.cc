#include "privilege/helper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <thread>

#include "privilege/helper_messages.h"
#include "privilege/message_socket.h"

namespace portbook {
namespace {

FileDescriptor open_null() {
  return FileDescriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// Says what it was asked and gives what a test can recognise.
class ToldOperations final : public Operations {
 public:
  Result<LoadedPrograms> load_programs(const ProgramOptions& options) override {
    asked = std::to_string(options.socket_ring_bytes) + "/" + std::to_string(options.overflow_bytes) + "/" +
            std::to_string(options.process_ring_bytes) + "/" + std::to_string(options.datagram_ring_bytes);
    LoadedPrograms loaded;
    loaded.attached = {"on_socket", "on_state"};
    loaded.missing = {{"on_send", std::string(5000, 'r')}};
    loaded.maps.push_back({"ring", open_null()});
    loaded.maps.push_back({"counters", open_null()});
    return loaded;
  }
  void unload_programs() override { asked = "unload"; }
  Result<std::vector<std::string>> find_detached() override { return std::vector<std::string>{"on_socket"}; }
  Status attach_again(std::string_view program) override {
    asked = program;
    return program == "on_socket" ? Status() : fail(ErrorCode::kNotFound, "it was not attached");
  }
  Result<FileDescriptor> open_iterator(std::string_view name, uint32_t netns) override {
    asked = std::string(name) + "@" + std::to_string(netns);
    return open_null();
  }
  Result<std::vector<uint32_t>> find_network_namespaces() override { return std::vector<uint32_t>{1, 4026531840}; }
  Result<FileDescriptor> open_netlink(uint32_t netns, NetlinkKind kind, int receive_bytes) override {
    asked = std::to_string(netns) + " " + std::to_string(static_cast<int>(kind)) + " " + std::to_string(receive_bytes);
    return fail(ErrorCode::kDenied, "not in there");
  }
  Status request_dump(uint32_t netns, DumpKind what, uint32_t seq) override {
    asked = std::to_string(netns) + " " + std::to_string(static_cast<int>(what)) + " " + std::to_string(seq);
    return {};
  }
  void leave_namespace(uint32_t netns) override { asked = "leave " + std::to_string(netns); }
  Result<std::vector<std::string>> set_conntrack_settings(uint32_t) override { return std::vector<std::string>{}; }
  Result<ProcessFiles> read_process(uint32_t pid, uint32_t wanted) override {
    asked = std::to_string(pid) + " " + std::to_string(wanted);
    ProcessFiles files;
    files.stat = "stat";
    files.cgroup = std::string("c\0d", 3);
    return files;
  }
  Result<SocketHolders> find_socket_holders(std::span<const uint32_t> inodes) override {
    asked = std::to_string(inodes.size());
    return SocketHolders{{{inodes.back(), 12}}, true};
  }
  Result<FileDescriptor> open_runtime_file(std::string_view path) override {
    asked = path;
    return open_null();
  }
  std::string carried_out_by() override { return {}; }
  bool lost() const override { return false; }

  std::string asked;
};

// A helper on a thread of the test, and its client.
class Helper : public ::testing::Test {
 protected:
  Helper() {
    auto ends = make_message_sockets();
    client_end_ = ends->first.get();
    client_ = make_remote_operations(std::move(ends->first));
    thread_ = std::thread([this, socket = std::move(ends->second)] { serve_operations(socket.get(), told_, "the test"); });
  }
  ~Helper() override {
    client_.reset();
    if (thread_.joinable()) thread_.join();
  }

  ToldOperations told_;
  int client_end_ = -1;
  std::unique_ptr<Operations> client_;
  std::thread thread_;
};

TEST_F(Helper, carries_each_operation_to_the_other_side_and_back) {
  const auto loaded = client_->load_programs({8192, 4096, 16384, 32768});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  EXPECT_EQ(told_.asked, "8192/4096/16384/32768");
  EXPECT_EQ(loaded->attached, (std::vector<std::string>{"on_socket", "on_state"}));
  ASSERT_EQ(loaded->missing.size(), 1u);
  EXPECT_TRUE(loaded->missing[0].reason.starts_with("rrr"));
  ASSERT_EQ(loaded->maps.size(), 2u);
  EXPECT_EQ(loaded->maps[1].name, "counters");
  EXPECT_GE(fcntl(loaded->maps[1].fd.get(), F_GETFD), 0);

  EXPECT_EQ(*client_->find_detached(), std::vector<std::string>{"on_socket"});
  EXPECT_TRUE(client_->attach_again("on_socket").has_value());
  EXPECT_EQ(client_->attach_again("on_other").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(client_->open_iterator("list_sockets", 7)->valid());
  EXPECT_EQ(told_.asked, "list_sockets@7");
  EXPECT_EQ(*client_->find_network_namespaces(), (std::vector<uint32_t>{1, 4026531840}));
  const auto denied = client_->open_netlink(4026531840, NetlinkKind::kRoute, 4096);
  EXPECT_EQ(denied.error().code, ErrorCode::kDenied);
  EXPECT_EQ(denied.error().message, "not in there");
  EXPECT_EQ(told_.asked, "4026531840 1 4096");
  EXPECT_TRUE(client_->request_dump(5, DumpKind::kAddresses, 77).has_value());
  EXPECT_EQ(told_.asked, "5 2 77");
  client_->leave_namespace(9);
  EXPECT_EQ(told_.asked, "leave 9");
  EXPECT_TRUE(client_->set_conntrack_settings(9)->empty());
  const auto files = client_->read_process(12, kProcessStat | kProcessCgroup);
  EXPECT_EQ(files->stat, "stat");
  EXPECT_EQ(files->cgroup, std::string("c\0d", 3));
  const auto holders = client_->find_socket_holders(std::vector<uint32_t>(Operations::kSocketsAskedMax, 5));
  EXPECT_EQ(told_.asked, "4096");
  ASSERT_EQ(holders->found.size(), 1u);
  EXPECT_EQ(holders->found[0].inode, 5u);
  EXPECT_EQ(holders->found[0].pid, 12u);
  EXPECT_TRUE(holders->hidden);
  EXPECT_EQ(client_->carried_out_by(), "the test");
  EXPECT_FALSE(client_->lost());
}

TEST_F(Helper, refuses_a_file_that_is_not_on_the_list_before_anybody_is_asked) {
  EXPECT_EQ(client_->open_runtime_file("/etc/shadow").error().code, ErrorCode::kBadInput);
  EXPECT_EQ(told_.asked, "");
  EXPECT_TRUE(client_->open_runtime_file("/var/lib/containers/storage/overlay-containers/containers.json").has_value());
}

TEST_F(Helper, answers_what_it_cannot_read_and_goes_on) {
  Bytes answer;
  std::vector<FileDescriptor> descriptors;
  for (const size_t size : {size_t{1}, sizeof(HelperRequestHead), size_t{10'000}, kRequestBytesMax, kRequestBytesMax + 1}) {
    ASSERT_TRUE(send_message(client_end_, Bytes(size, 0xff), {}).has_value());
    ASSERT_TRUE(receive_message(client_end_, kAnswerBytesMax, 0, answer, descriptors).has_value());
    const auto decoded = decode_answer(answer);
    ASSERT_TRUE(decoded.has_value() && decoded->error.has_value()) << size;
    EXPECT_EQ(decoded->error->code, ErrorCode::kBadInput) << size;
  }
  EXPECT_EQ(told_.asked, "");
  EXPECT_TRUE(client_->find_network_namespaces().has_value());
}

TEST_F(Helper, takes_no_descriptor_from_its_client) {
  HelperRequest request;
  request.head.operation = static_cast<uint8_t>(HelperOperation::kFindNamespaces);
  std::vector<FileDescriptor> sent;
  sent.push_back(open_null());
  ASSERT_TRUE(send_message(client_end_, encode_request(request), sent).has_value());
  Bytes answer;
  std::vector<FileDescriptor> descriptors;
  ASSERT_TRUE(receive_message(client_end_, kAnswerBytesMax, 0, answer, descriptors).has_value());
  EXPECT_EQ(decode_answer(answer)->error->code, ErrorCode::kBadInput);
}

TEST(RemoteOperations, fail_at_once_when_the_helper_is_gone) {
  auto ends = make_message_sockets();
  const auto client = make_remote_operations(std::move(ends->first));
  EXPECT_FALSE(client->lost());
  ends->second.reset();
  EXPECT_TRUE(client->lost());
  EXPECT_EQ(client->find_network_namespaces().error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(client->read_process(1, kProcessStat).error().code, ErrorCode::kUnavailable);
}

TEST(RemoteOperations, without_a_free_descriptor_one_request_fails_and_the_helper_is_kept) {
  auto ends = make_message_sockets();
  const auto client = make_remote_operations(std::move(ends->first));
  const auto answer_once = [&] {
    Bytes bytes;
    std::vector<FileDescriptor> descriptors;
    std::vector<FileDescriptor> passed;
    passed.push_back(open_null());
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    ASSERT_TRUE(receive_message(ends->second.get(), kRequestBytesMax, 0, bytes, descriptors).has_value());
    const rlimit none{1, before.rlim_max};  // standard input is there, and poll() wants as many as it is asked about
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    ASSERT_TRUE(send_message(ends->second.get(), encode_answer({}), passed).has_value());
    // The client's next request comes when it has this answer.
    ASSERT_TRUE(receive_message(ends->second.get(), kRequestBytesMax, 0, bytes, descriptors).has_value());
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    ASSERT_TRUE(send_message(ends->second.get(), encode_answer({}), passed).has_value());
  };
  std::thread helper(answer_once);
  EXPECT_EQ(client->open_iterator("list_processes", 0).error().code, ErrorCode::kLimit);
  EXPECT_FALSE(client->lost());
  EXPECT_TRUE(client->open_iterator("list_processes", 0).has_value());
  helper.join();
}

TEST(RemoteOperations, trust_no_answer_after_one_that_cannot_be_read) {
  auto ends = make_message_sockets();
  const auto client = make_remote_operations(std::move(ends->first));
  std::thread liar([&] {
    Bytes bytes;
    std::vector<FileDescriptor> descriptors;
    ASSERT_TRUE(receive_message(ends->second.get(), kRequestBytesMax, 0, bytes, descriptors).has_value());
    ASSERT_TRUE(send_message(ends->second.get(), Bytes{200}, {}).has_value());
  });
  EXPECT_EQ(client->find_network_namespaces().error().code, ErrorCode::kUnavailable);
  liar.join();
  EXPECT_TRUE(client->lost());
}

TEST(HelperProcess, ends_when_its_client_does) {
  auto helper = start_helper();
  ASSERT_TRUE(helper.has_value());
  auto client = make_remote_operations(std::move(helper->socket));
  EXPECT_TRUE(client->carried_out_by().starts_with("a helper: ")) << client->carried_out_by();
  EXPECT_TRUE(client->read_process(static_cast<uint32_t>(getpid()), kProcessStat).has_value());
  client.reset();
  int status = 0;
  ASSERT_EQ(waitpid(helper->pid, &status, 0), helper->pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace portbook
