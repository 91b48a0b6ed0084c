#include "logs/syslog_receiver.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "record/cbor.h"
#include "ship/stream_socket.h"
#include "sources/syslog_message.h"

namespace portbook {

namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr int kDatagramsAtOnce = 256;          // of one socket, before the others have their turn
constexpr uint32_t kWaitingRecordsMax = 8192;  // of one source, or half a batch in bytes; beyond that its sockets are not read
constexpr int kLookEveryMs = 100;
constexpr uint64_t kWindowNs = kNsPerSecond;
constexpr uint64_t kAgainNs = kNsPerSecond / 10;
constexpr uint64_t kStopPatienceNs = 3 * kNsPerSecond;
constexpr int kTaken = 1;
constexpr int kNotNow = 2;
constexpr int kNever = 3;

}  // namespace

Result<SyslogSockets> open_syslog_sockets(const SyslogPlaces& places) {
  if (places.udp.empty() && places.tcp.empty() && places.unix.empty())
    return fail(ErrorCode::kBadInput, "nothing to receive on: give --syslog-udp, --syslog-tcp or --syslog-unix");
  SyslogSockets sockets;
  const auto take = [](const auto& texts, auto listen, FileDescriptor& fd) -> Status {
    if (texts.empty()) return {};
    auto made = listen(texts.front());
    if (!made) return std::unexpected(made.error());
    fd = std::move(*made);
    return {};
  };
  if (Status udp = take(places.udp, listen_syslog_udp, sockets.udp); !udp) return std::unexpected(udp.error());
  if (Status tcp = take(places.tcp, listen_syslog_tcp, sockets.tcp); !tcp) return std::unexpected(tcp.error());
  if (Status local = take(places.unix, listen_syslog_unix, sockets.local); !local) return std::unexpected(local.error());
  return sockets;
}

SyslogReceiver::SyslogReceiver(SyslogOptions options, Sender& sender, Clock& clock, FileDescriptor wake)
    : options_(std::move(options)), sender_(sender), clock_(clock), wake_(std::move(wake)), buffer_(kSyslogMessageBytesMax, '\0') {}

Result<std::unique_ptr<SyslogReceiver>> SyslogReceiver::start(SyslogSockets sockets, SyslogOptions options, Sender& sender,
                                                              Clock& clock) {
  auto wake = make_wake_fd();
  if (!wake) return std::unexpected(wake.error());
  auto made = std::unique_ptr<SyslogReceiver>(new SyslogReceiver(std::move(options), sender, clock, std::move(*wake)));
  const auto give = [&](Listener& listener, FileDescriptor& fd, std::string_view name) {
    if (!fd.valid()) return;
    std::string source = fmt::format("{}{}/{}", made->options_.host, kSyslogOfHost, name);
    const uint64_t last = sender.last_seq(source);
    listener.stream = std::make_unique<Stream>(std::move(source), last + 1);
    listener.fd = std::move(fd);
  };
  give(made->udp_, sockets.udp, "udp");
  give(made->tcp_, sockets.tcp, "tcp");
  give(made->local_, sockets.local, "unix");
  made->thread_ = std::thread([receiver = made.get()] { receiver->run(); });
  return made;
}

SyslogReceiver::~SyslogReceiver() {
  stop();
}

void SyslogReceiver::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  wake(wake_);
  thread_.join();
}

void SyslogReceiver::run() {
  uint64_t stop_by = 0;
  while (true) {
    wait();
    for (Listener* listener : {&udp_, &local_}) {
      if (listener->fd.valid()) take_datagrams(*listener);
    }
    if (stop_by == 0) accept_connections();
    for (const auto& connection : connections_) read_connection(*connection);
    std::erase_if(connections_, [](const auto& connection) { return connection->ended; });
    if (stopping_ && stop_by == 0) {
      stop_by = clock_.boot_ns() + kStopPatienceNs;
      // Whoever waits to be accepted is refused and keeps what it has.
      tcp_.fd.reset();
      for (const auto& connection : connections_) ask_to_end(*connection);
    }
    const bool over = stop_by != 0 && (connections_.empty() || clock_.boot_ns() > stop_by);
    for (Listener* listener : {&udp_, &local_}) {
      if (listener->stream) end_windows(*listener, over);
    }
    move_streams();
    if (over && (all_handed_over() || clock_.boot_ns() > stop_by + kStopPatienceNs)) return;
  }
}

void SyslogReceiver::wait() {
  std::vector<pollfd> fds;
  fds.push_back({wake_.get(), POLLIN, 0});
  for (const Listener* listener : {&udp_, &local_, &tcp_}) {
    if (!listener->fd.valid() || crowded(*listener->stream)) continue;
    if (listener == &tcp_ && connections_.size() >= kSyslogConnectionsMax) continue;
    fds.push_back({listener->fd.get(), POLLIN, 0});
  }
  for (const auto& connection : connections_) {
    if (crowded(*tcp_.stream)) break;
    const bool slowed = connection->window.count >= options_.rate_max && clock_.boot_ns() < connection->window.begun + kWindowNs;
    if (!slowed) fds.push_back({connection->fd.get(), POLLIN, 0});
  }
  poll(fds.data(), fds.size(), kLookEveryMs);
  if (fds.front().revents != 0) drain_wakes(wake_);
}

bool SyslogReceiver::crowded(const Stream& stream) {
  return stream.builder.count() >= kWaitingRecordsMax || stream.builder.full();
}

bool SyslogReceiver::all_handed_over() const {
  return std::ranges::all_of(std::array{&udp_, &tcp_, &local_}, [](const Listener* one) {
    return !one->stream || (one->stream->under_way.count == 0 && one->stream->builder.count() == 0);
  });
}

void SyslogReceiver::move_streams() {
  for (const Listener* listener : {&udp_, &tcp_, &local_}) {
    if (listener->stream) settle(*listener->stream);
  }
}

// One batch of a source at a time is with the sender; it is kept until that has answered.
void SyslogReceiver::settle(Stream& stream) {
  const int answer = stream.busy ? stream.answer.exchange(0) : 0;
  if (answer != 0) stream.busy = false;
  if (answer == kTaken) stream.under_way = {};
  if (answer == kNotNow) stream.again_at = clock_.boot_ns() + kAgainNs;
  if (answer == kNever) {
    Window lost{0, 0, stream.under_way.count, clock_.now(), clock_.now()};
    const uint64_t first = stream.under_way.seq_first;
    const Batch later = stream.builder.take();
    stream.under_way = {};
    stream.builder = BatchBuilder(stream.source, first);
    gap(stream, lost, "the book refused a batch");
    for (ByteView rest = later.bytes; !rest.empty();) {
      const auto length = encoded_length(rest);
      PB_CHECK(length.has_value() && decode(rest.first(*length), record_).has_value());
      stream.builder.add(record_);
      rest = rest.subspan(*length);
    }
  }
  if (stream.busy || clock_.boot_ns() < stream.again_at) return;
  if (stream.under_way.count == 0) {
    if (stream.builder.count() == 0) return;
    stream.under_way = stream.builder.take();
  }
  stream.busy = true;
  stream.again_at = 0;
  sender_.submit(stream.under_way, [this, &stream](const Status& status) {
    stream.answer = status ? kTaken : status.error().code == ErrorCode::kBadInput ? kNever : kNotNow;
    wake(wake_);
  });
}

void SyslogReceiver::take(Stream& stream, std::string_view text, bool cut, std::string_view from, std::string_view trouble) {
  if (text.empty()) return;
  const SyslogArrival arrival{{clock_.now(), options_.zone}, from, cut ? kMessageTooLong : trouble};
  ++messages_;
  if (!read_syslog_message(text, arrival, options_.host, record_)) ++not_understood_;
  stream.builder.add(record_);
}

// Counts one message more in this second of its sender.
bool SyslogReceiver::allowed(Window& window) {
  const TimeNs now = clock_.now();
  if (window.count < options_.rate_max) {
    ++window.count;
    return true;
  }
  if (window.dropped++ == 0) window.first = now;
  window.last = now;
  ++dropped_;
  return false;
}

void SyslogReceiver::take_datagrams(Listener& listener) {
  SyslogDatagram datagram;
  for (int i = 0; i < kDatagramsAtOnce && !crowded(*listener.stream) && receive_datagram(listener.fd, buffer_, datagram); ++i) {
    if (const uint32_t lost = datagram.overflows - listener.overflows; datagram.overflows != 0 && lost != 0) {
      listener.overflows = datagram.overflows;
      gap(*listener.stream, {0, 0, lost, clock_.now(), clock_.now()},
          "the kernel had no room for datagrams that were not read yet");
    }
    std::string_view key = datagram.from;
    if (listener.senders.size() >= kSyslogSendersMax && !listener.senders.contains(key)) key = "others";
    auto at = listener.senders.find(key);
    if (at == listener.senders.end()) at = listener.senders.emplace(key, Window{clock_.boot_ns()}).first;
    if (clock_.boot_ns() >= at->second.begun + kWindowNs) end_window(listener, at->first, at->second);
    if (!allowed(at->second)) continue;
    std::string_view text = datagram.text;
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == '\0')) text.remove_suffix(1);
    take(*listener.stream, text, datagram.cut, datagram.from, {});
  }
}

void SyslogReceiver::end_window(Listener& listener, std::string_view from, Window& window) {
  if (window.dropped > 0)
    gap(*listener.stream, window,
        fmt::format("more than {} messages within a second from {}", options_.rate_max,
                    from.empty() ? "a sender without a name" : from));
  window = {clock_.boot_ns()};
}

// A sender that was silent for a second is forgotten.
void SyslogReceiver::end_windows(Listener& listener, bool all) {
  const uint64_t now = clock_.boot_ns();
  for (auto one = listener.senders.begin(); one != listener.senders.end();) {
    auto& [from, window] = *one;
    const bool due = all || now >= window.begun + kWindowNs;
    const bool silent = window.count == 0;
    if (due) end_window(listener, from, window);
    one = due && (silent || all) ? listener.senders.erase(one) : std::next(one);
  }
}

void SyslogReceiver::gap(Stream& stream, const Window& window, const std::string& cause) {
  record_.clear();
  record_.set(Field::kKind, Kind::kGap);
  record_.set(Field::kVantage, Vantage::kBook);
  record_.set(Field::kTime, clock_.now());
  record_.set(Field::kHost, std::string_view(options_.host));
  record_.set(Field::kAbout, std::string_view(stream.source));
  record_.set(Field::kStart, window.first);
  record_.set(Field::kEnd, std::max(window.first, window.last));
  record_.set(Field::kCount, window.dropped);
  record_.set(Field::kCause, std::string_view(cause));
  stream.builder.add(record_);
}

void SyslogReceiver::accept_connections() {
  while (tcp_.fd.valid() && connections_.size() < kSyslogConnectionsMax) {
    FileDescriptor fd(accept4(tcp_.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) return;
    auto connection = std::make_unique<Connection>();
    connection->from = peer_of(fd);
    connection->fd = std::move(fd);
    connection->heard = clock_.boot_ns();
    connections_.push_back(std::move(connection));
  }
}

// Above its limit, or while the book takes nothing, a connection is not read: its sender waits, and nothing is lost.
void SyslogReceiver::read_connection(Connection& connection) {
  const uint64_t now = clock_.boot_ns();
  if (now >= connection.window.begun + kWindowNs) connection.window = {now};
  take_frames(connection);
  if (crowded(*tcp_.stream) || connection.window.count >= options_.rate_max) return;
  Bytes bytes;
  const Moved moved = read_some(connection.fd, bytes, kReadBytes);
  if (moved == Moved::kSome) {
    connection.heard = now;
    connection.frames.push(as_text(bytes));
    take_frames(connection);
  } else if (moved == Moved::kClosed) {
    if (const auto rest = connection.frames.rest()) take(*tcp_.stream, rest->text, false, connection.from, kMessageUnfinished);
    connection.ended = true;
  } else if (now > connection.heard + kSyslogIdleNs) {
    ask_to_end(connection);
  }
}

void SyslogReceiver::take_frames(Connection& connection) {
  while (connection.window.count < options_.rate_max && !crowded(*tcp_.stream)) {
    const auto frame = connection.frames.next();
    if (!frame) return;
    ++connection.window.count;
    take(*tcp_.stream, frame->text, frame->cut, connection.from, {});
  }
}

// A daemon sees the end before it sends more, and keeps that for the next connection; what is on the way is read.
void SyslogReceiver::ask_to_end(Connection& connection) {
  if (!std::exchange(connection.asked_to_end, true)) (void)shutdown(connection.fd.get(), SHUT_WR);
}

}  // namespace portbook
