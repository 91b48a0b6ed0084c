// How a connect() that did not wait ended.
#ifndef PORTBOOK_TESTS_E2E_TOOLS_CONNECT_OUTCOME_H
#define PORTBOOK_TESTS_E2E_TOOLS_CONNECT_OUTCOME_H

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace peer {

// 0, the errno of the failure, or EINPROGRESS if there is no outcome after that time.
inline int outcome_of_connect(int fd, int milliseconds) {
  pollfd wait{fd, POLLOUT, 0};
  while (poll(&wait, 1, milliseconds) == 1) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    sockaddr_storage end{};
    socklen_t length = sizeof end;
    if (error != 0 || getpeername(fd, reinterpret_cast<sockaddr*>(&end), &length) == 0) return error;
    // An ICMP error wakes who polls before the kernel has written it down as the socket's own: neither failed nor connected yet.
  }
  return EINPROGRESS;
}

}  // namespace peer

#endif  // PORTBOOK_TESTS_E2E_TOOLS_CONNECT_OUTCOME_H
