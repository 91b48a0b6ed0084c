#include "server/caller.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace portbook {

namespace {

constexpr size_t kPasswdBytes = 16 * 1024;
constexpr int kGroupsMax = 1024;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

struct Question {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

void put_address(const Ip& ip, bool v4, __be32* words) {
  const ByteView bytes = v4 ? ip.canonical() : ByteView(ip.bytes);
  std::memcpy(words, bytes.data(), bytes.size());
}

Question question_for(const Endpoint& client, const Endpoint& server) {
  const bool v4 = client.ip.is_v4();
  Question question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  question.body.sdiag_family = v4 ? AF_INET : AF_INET6;
  question.body.sdiag_protocol = IPPROTO_TCP;
  question.body.idiag_states = UINT32_MAX;
  question.body.id.idiag_sport = htons(client.port);
  question.body.id.idiag_dport = htons(server.port);
  put_address(client.ip, v4, question.body.id.idiag_src);
  put_address(server.ip, v4, question.body.id.idiag_dst);
  question.body.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  question.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return question;
}

std::optional<passwd> lookup(uint32_t uid, std::vector<char>& buffer) {
  buffer.resize(kPasswdBytes);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return std::nullopt;
  return entry;
}

bool in_group_portbook(uint32_t uid) {
  std::vector<char> buffer(kPasswdBytes);
  group entry{};
  group* wanted = nullptr;
  if (getgrnam_r("portbook", &entry, buffer.data(), buffer.size(), &wanted) != 0 || wanted == nullptr) return false;
  const gid_t gid = wanted->gr_gid;
  std::vector<char> user_buffer;
  const auto user = lookup(uid, user_buffer);
  if (!user) return false;
  std::array<gid_t, kGroupsMax> groups{};
  int count = kGroupsMax;
  if (getgrouplist(user->pw_name, user->pw_gid, groups.data(), &count) < 0) return false;
  return std::ranges::find(groups.begin(), groups.begin() + count, gid) != groups.begin() + count;
}

}  // namespace

Result<uint32_t> owner_of_socket(const Endpoint& client, const Endpoint& server) {
  const Socket socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (socket.fd() < 0) return fail(ErrorCode::kIo, fmt::format("the kernel's socket lookup is not available: {}", strerror(errno)));
  const timeval patience{1, 0};
  setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const Question question = question_for(client, server);
  if (send(socket.fd(), &question, sizeof question, 0) < 0)
    return fail(ErrorCode::kIo, fmt::format("asking the kernel for a socket's owner: {}", strerror(errno)));
  alignas(nlmsghdr) std::array<char, 8192> answer{};
  const ssize_t length = recv(socket.fd(), answer.data(), answer.size(), 0);
  if (length < 0) return fail(ErrorCode::kIo, fmt::format("asking the kernel for a socket's owner: {}", strerror(errno)));
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (!NLMSG_OK(header, static_cast<uint32_t>(length)) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
      header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) {
    return fail(ErrorCode::kNotFound, "the caller's socket is gone");
  }
  const auto* found = reinterpret_cast<const inet_diag_msg*>(NLMSG_DATA(header));
  // The kernel says uid 0 of a socket that its process has closed, and answers with a listener where no connection fits.
  if (found->idiag_inode == 0 || found->id.idiag_dport != htons(server.port)) {
    return fail(ErrorCode::kNotFound, "the caller's socket is gone");
  }
  return found->idiag_uid;
}

bool owns_book(uint32_t uid) {
  return uid == 0 || uid == geteuid();
}

bool may_ask(uint32_t uid) {
  return owns_book(uid) || in_group_portbook(uid);
}

std::string user_name(uint32_t uid) {
  std::vector<char> buffer;
  const auto user = lookup(uid, buffer);
  return user ? std::string(user->pw_name) : fmt::format("uid {}", uid);
}

std::string caller_name(const Caller& caller) {
  return caller.remote ? "token " + caller.token : user_name(caller.uid);
}

}  // namespace portbook
