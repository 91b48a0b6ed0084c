#include "server/caller.h"

#include <fmt/format.h>
#include <grp.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 diag;
};

Request request_for(const Endpoint& client, const Endpoint& server, uint8_t family) {
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.diag.sdiag_family = family;
  request.diag.sdiag_protocol = IPPROTO_TCP;
  request.diag.idiag_states = ~0U;
  request.diag.id.idiag_sport = htons(client.port);
  request.diag.id.idiag_dport = htons(server.port);
  request.diag.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  request.diag.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  // An IPv6 socket that talks to an IPv4-mapped address stands in the table with the mapped form, which is Ip's own form.
  const ByteView source = family == AF_INET ? client.ip.canonical() : ByteView(client.ip.bytes);
  const ByteView destination = family == AF_INET ? server.ip.canonical() : ByteView(server.ip.bytes);
  std::memcpy(request.diag.id.idiag_src, source.data(), source.size());
  std::memcpy(request.diag.id.idiag_dst, destination.data(), destination.size());
  return request;
}

Result<uint32_t> ask(int netlink, const Request& request) {
  if (send(netlink, &request, sizeof request, 0) < 0) return fail(ErrorCode::kIo, fmt::format("sock_diag: {}", strerror(errno)));
  alignas(nlmsghdr) std::array<Byte, 8192> answer;
  const ssize_t length = recv(netlink, answer.data(), answer.size(), 0);
  if (length < static_cast<ssize_t>(sizeof(nlmsghdr))) return fail(ErrorCode::kIo, fmt::format("sock_diag: {}", strerror(errno)));
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (header->nlmsg_type == NLMSG_ERROR) return fail(ErrorCode::kNotFound, "no such socket");
  if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || static_cast<size_t>(length) < NLMSG_LENGTH(sizeof(inet_diag_msg))) {
    return fail(ErrorCode::kIo, "sock_diag: an answer of another kind");
  }
  return static_cast<const inet_diag_msg*>(NLMSG_DATA(header))->idiag_uid;
}

}  // namespace

Result<uint32_t> socket_owner(const Endpoint& client, const Endpoint& server) {
  const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (netlink < 0) return fail(ErrorCode::kIo, fmt::format("sock_diag: {}", strerror(errno)));
  Result<uint32_t> owner = fail(ErrorCode::kNotFound, "no such socket");
  if (client.ip.is_v4()) owner = ask(netlink, request_for(client, server, AF_INET));
  if (!owner) owner = ask(netlink, request_for(client, server, AF_INET6));
  close(netlink);
  return owner;
}

bool may_ask(uint32_t uid) {
  if (uid == 0 || uid == geteuid()) return true;
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* user = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &user) != 0 || user == nullptr) return false;
  std::array<char, 16384> group_buffer;
  group group_entry{};
  group* wanted = nullptr;
  if (getgrnam_r("portbook", &group_entry, group_buffer.data(), group_buffer.size(), &wanted) != 0 || wanted == nullptr)
    return false;
  std::vector<gid_t> groups(256);
  int count = static_cast<int>(groups.size());
  if (getgrouplist(user->pw_name, user->pw_gid, groups.data(), &count) < 0) return false;
  groups.resize(static_cast<size_t>(count));
  return std::ranges::find(groups, wanted->gr_gid) != groups.end();
}

}  // namespace portbook
