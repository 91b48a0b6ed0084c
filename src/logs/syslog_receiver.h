// Receives syslog over UDP, TCP and a unix datagram socket, and hands each message on as a record. docs/sources.md says what can be
// lost on each.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/file_descriptor.h"
#include "base/result.h"
#include "logs/syslog_socket.h"
#include "record/batch.h"
#include "ship/sender.h"
#include "sources/syslog_frames.h"
#include "sources/zone.h"

namespace portbook {

// The receiver says to the book that it is "HOST/syslog": its sources' names begin so, and it may write nothing else.
inline constexpr std::string_view kSyslogOfHost = "/syslog";
inline constexpr uint32_t kSyslogRateDefault = 10'000;          // messages a second of one sender
inline constexpr size_t kSyslogConnectionsMax = 256;            // further ones wait to be accepted
inline constexpr size_t kSyslogSendersMax = 4096;               // counted apart; further ones together
inline constexpr uint64_t kSyslogIdleNs = 3600 * kNsPerSecond;  // then a connection is asked to end

// Where messages come in; what is empty is not there.
struct SyslogPlaces {
  std::vector<std::string> udp;   // at most one
  std::vector<std::string> tcp;   // at most one
  std::vector<std::string> unix;  // at most one
};

struct SyslogSockets {
  FileDescriptor udp;
  FileDescriptor tcp;
  FileDescriptor local;
};
// Before privileges are given up. Errors: of the listen_syslog_ functions, and kBadInput where nothing is named.
Result<SyslogSockets> open_syslog_sockets(const SyslogPlaces& places);

struct SyslogOptions {
  std::string host;  // of records whose message names none
  Zone zone;         // of times that name none
  uint32_t rate_max = kSyslogRateDefault;
};

class SyslogReceiver {
 public:
  // The sender outlives it.
  static Result<std::unique_ptr<SyslogReceiver>> start(SyslogSockets sockets, SyslogOptions options, Sender& sender, Clock& clock);
  ~SyslogReceiver();
  // Takes what lies in the sockets, asks those that are connected to end and reads on until they do, for at most 3 s; then until
  // all of it is with the sender.
  void stop();

  struct Counts {
    uint64_t messages = 0;
    uint64_t not_understood = 0;
    uint64_t dropped = 0;
  };
  [[nodiscard]] Counts counts() const { return {messages_, not_understood_, dropped_}; }

 private:
  // One source: records on their way to the book.
  struct Stream {
    Stream(std::string name, uint64_t next) : source(std::move(name)), builder(source, next) {}
    const std::string source;
    BatchBuilder builder;
    Batch under_way;
    uint64_t again_at = 0;       // boot time
    bool busy = false;           // the sender has it
    std::atomic<int> answer{0};  // of the sender: 1 taken, 2 not now, 3 never
  };
  // A second of one sender.
  struct Window {
    uint64_t begun = 0;  // boot time
    uint32_t count = 0;
    uint64_t dropped = 0;
    TimeNs first = 0;
    TimeNs last = 0;
  };
  struct Listener {
    FileDescriptor fd;
    std::unique_ptr<Stream> stream;
    std::map<std::string, Window, std::less<>> senders;
    uint32_t overflows = 0;
  };
  struct Connection {
    FileDescriptor fd;
    std::string from;
    SyslogFrames frames;
    Window window;
    uint64_t heard = 0;  // boot time
    bool asked_to_end = false;
    bool ended = false;
  };
  SyslogReceiver(SyslogOptions options, Sender& sender, Clock& clock, FileDescriptor wake);
  void run();
  void wait();
  void move_streams();
  void settle(Stream& stream);
  [[nodiscard]] static bool crowded(const Stream& stream);
  [[nodiscard]] bool all_handed_over() const;
  void take_datagrams(Listener& listener);
  void accept_connections();
  void read_connection(Connection& connection);
  void take_frames(Connection& connection);
  void ask_to_end(Connection& connection);
  void take(Stream& stream, std::string_view text, bool cut, std::string_view from, std::string_view trouble);
  bool allowed(Window& window);
  void end_window(Listener& listener, std::string_view from, Window& window);
  void end_windows(Listener& listener, bool all);
  void gap(Stream& stream, const Window& window, const std::string& cause);

  const SyslogOptions options_;
  Sender& sender_;
  Clock& clock_;
  FileDescriptor wake_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> messages_{0};
  std::atomic<uint64_t> not_understood_{0};
  std::atomic<uint64_t> dropped_{0};

  // Owner: the receiving thread.
  Listener udp_;
  Listener tcp_;
  Listener local_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::string buffer_;
  Record record_;
  std::thread thread_;
};

}  // namespace portbook
