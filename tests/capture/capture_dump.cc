// Runs capture without a book and prints each record as a line of JSON; for tests and for looking. Ends when its input does.
//   capture_dump [SOCKET_RING_BYTES PROCESS_RING_BYTES [OVERFLOW_BYTES]]; CAPTURE_DUMP_UDP_IDLE_MS closes silent UDP peers sooner,
//   CAPTURE_DUMP_UDP_RING and CAPTURE_DUMP_CONNTRACK_BYTES are sizes in bytes
// A line "+3600" or "-3600" of its input steps the clock that capture was given by so many seconds; the machine's stays.
// With CAPTURE_DUMP_APART it does so as the agent: without any privilege, with a helper beside it.
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "capture/capture.h"
#include "privilege/confine.h"
#include "privilege/helper.h"
#include "record/cbor.h"
#include "record/json.h"

namespace {

void print(const portbook::Batch& batch) {
  std::string out;
  portbook::Record record;
  for (portbook::ByteView rest = batch.bytes; !rest.empty();) {
    const auto length = portbook::encoded_length(rest);
    if (!length.has_value() || !portbook::decode(rest.first(*length), record).has_value()) {
      fmt::print(stderr, "a record cannot be decoded\n");
      std::exit(1);
    }
    out += portbook::to_json(record) + "\n";
    rest = rest.subspan(*length);
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  std::fflush(stdout);
}

// An environment variable's number; nothing when it is not set.
std::optional<uint64_t> number_of(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  uint64_t number = 0;
  std::from_chars(text, text + std::strlen(text), number);
  return number;
}

// Forks the helper and becomes a process that may do no more than the agent may.
std::unique_ptr<portbook::Operations> go_apart(std::string& confined_to) {
  auto helper = portbook::start_helper();
  auto user = portbook::agent_user();
  if (!helper.has_value() || !user.has_value()) std::exit(1);
  portbook::ConfineOptions options;
  options.part = portbook::Part::kAgent;
  options.user = *user;
  const auto confined = portbook::confine(options);
  if (!confined.has_value()) {
    fmt::print(stderr, "{}\n", confined.error().message);
    std::exit(1);
  }
  confined_to = confined->to_text();
  fmt::print(stderr, "helper {}\n", helper->pid);
  return portbook::make_remote_operations(std::move(helper->socket));
}

// The machine's clock, except that it can be stepped.
class SteppedClock final : public portbook::Clock {
 public:
  portbook::TimeNs now() override { return portbook::system_clock().now() + offset_ns_.load(); }
  uint64_t boot_ns() override { return portbook::system_clock().boot_ns(); }
  void step(std::string_view seconds) {
    if (seconds.starts_with('+')) seconds.remove_prefix(1);
    int64_t value = 0;
    std::from_chars(seconds.begin(), seconds.end(), value);
    offset_ns_ += static_cast<uint64_t>(value) * portbook::kNsPerSecond;  // wraps for steps back
  }

 private:
  std::atomic<uint64_t> offset_ns_{0};
};

}  // namespace

int main(int argc, char** argv) {
  portbook::CaptureOptions options;
  if (argc > 2) {
    const std::string_view socket_ring = argv[1];
    const std::string_view process_ring = argv[2];
    std::from_chars(socket_ring.begin(), socket_ring.end(), options.programs.socket_ring_bytes);
    std::from_chars(process_ring.begin(), process_ring.end(), options.programs.process_ring_bytes);
  }
  if (argc > 3) {
    const std::string_view overflow = argv[3];
    std::from_chars(overflow.begin(), overflow.end(), options.programs.overflow_bytes);
  }
  if (const auto milliseconds = number_of("CAPTURE_DUMP_UDP_IDLE_MS")) options.udp_idle_ns = *milliseconds * portbook::kNsPerMs;
  if (const auto bytes = number_of("CAPTURE_DUMP_UDP_RING")) options.programs.datagram_ring_bytes = *bytes;
  if (const auto bytes = number_of("CAPTURE_DUMP_CONNTRACK_BYTES")) options.conntrack_receive_bytes = static_cast<int>(*bytes);
  if (std::getenv("CAPTURE_DUMP_APART") != nullptr) options.operations = go_apart(options.confined);
  options.host = "test";
  options.version = "test";
  const bool quiet = std::getenv("CAPTURE_DUMP_QUIET") != nullptr;
  options.sink = [quiet](const portbook::Batch& batch, const portbook::CaptureOptions::Done& done) {
    if (!quiet) print(batch);
    done({});
  };
  SteppedClock clock;
  auto capture = portbook::Capture::start(std::move(options), clock);
  if (!capture.has_value()) {
    fmt::print(stderr, "{}\n", capture.error().message);
    return portbook::exit_code(capture.error().code);
  }
  for (const portbook::Capability& line : (*capture)->report()) {
    fmt::print(stderr, "{:4} {}: {} [{}]\n", portbook::to_text(line.state), line.what, line.detail, line.means);
  }
  fmt::print(stderr, "ready\n");
  std::string line;
  for (char byte = 0; read(STDIN_FILENO, &byte, 1) > 0;) {
    if (byte != '\n') {
      line += byte;
      continue;
    }
    clock.step(line);
    fmt::print(stderr, "stepped {}\n", std::exchange(line, {}));
  }
  (*capture)->stop();
  const portbook::CaptureStatistics totals = (*capture)->statistics();
  fmt::print(stderr, "events {} records {} lost {} parked {} unnamed {} open {} processes {} passes {} batches {}\n", totals.events,
             totals.records, totals.lost_events, totals.parked_opens, totals.unnamed_uses, totals.open_connections,
             totals.processes, totals.passes, totals.batches);
  return 0;
}
