// The load of the capture benchmark: connect, accept, one byte, close, over and over on loopback.
//   capture_load SECONDS [CONNECTIONS_PER_SECOND [udp]]; with udp, as DNS: socket, connect, question, answer, close
// Prints how many were made and what one took on average, in microseconds: of the loop's time (waiting for the rate not counted),
// and of this process's CPU, in which the kernel does both ends' work on loopback; the latter hardly changes when the machine is
// busy.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

// Many destinations, so that ports in TIME_WAIT never run out.
constexpr uint32_t kDestinations = 200;

double now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

[[noreturn]] void die(const char* what) {
  fmt::print(stderr, "{}: {}\n", what, std::strerror(errno));
  std::exit(1);
}

double number(const char* text) {
  double value = 0;
  if (std::from_chars(text, text + std::strlen(text), value).ec != std::errc{}) die("number");
  return value;
}

void one_connection(int listener, sockaddr_in to) {
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  if (client < 0 || connect(client, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) die("connect");
  const int server = accept4(listener, nullptr, nullptr, 0);
  char byte = 1;
  if (server < 0 || send(client, &byte, 1, 0) != 1 || recv(server, &byte, 1, 0) != 1) die("one byte");
  close(client);
  close(server);
}

void one_question(int server, sockaddr_in to) {
  const int client = socket(AF_INET, SOCK_DGRAM, 0);
  if (client < 0 || connect(client, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) die("connect");
  char byte = 1;
  sockaddr_in from{};
  socklen_t length = sizeof from;
  if (send(client, &byte, 1, 0) != 1 || recvfrom(server, &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &length) != 1 ||
      sendto(server, &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), length) != 1 || recv(client, &byte, 1, 0) != 1)
    die("a question");
  close(client);
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? number(argv[1]) : 2;
  const double rate = argc > 2 ? number(argv[2]) : 0;
  const bool udp = argc > 3 && std::strcmp(argv[3], "udp") == 0;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  // One address: answers then come from where the question went.
  if (udp) address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const int listener = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || (!udp && listen(listener, 128) != 0)) die("listen");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  const double began = now();
  double waited = 0;
  uint64_t made = 0;
  double at = began;
  while (at - began < seconds) {
    if (rate > 0 && static_cast<double>(made) >= (at - began) * rate) {
      usleep(500);
    } else {
      // A burst between looks at the clock.
      for (int i = 0; i < 8; ++i, ++made) {
        if (udp) {
          one_question(listener, address);
          continue;
        }
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + static_cast<uint32_t>(made % kDestinations));
        one_connection(listener, address);
      }
      at = now();
      continue;
    }
    const double later = now();
    waited += later - at;
    at = later;
  }
  const double scale = 1e6 / static_cast<double>(made);
  fmt::print("{} {:.3f} {:.3f}\n", made, (at - began - waited) * scale, now(CLOCK_PROCESS_CPUTIME_ID) * scale);
  return 0;
}
