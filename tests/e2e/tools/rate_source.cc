// Ships made-up records to a book at a rate, the way agents do, for the rate test.
//   rate_source INGEST_SOCKET SPOOL HOST RECORDS_PER_SECOND SECONDS
// Prints how many were acknowledged, in how many seconds and batches, and the longest that one waited for its acknowledgement in
// ms.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "book/test_batches.h"
#include "ship/sender.h"

namespace {

using namespace portbook;  // NOLINT: a small program of its own
using SteadyClock = std::chrono::steady_clock;
constexpr uint32_t kBatchRecordsMost = 20'000;
constexpr std::chrono::milliseconds kBatchEvery{10};

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.begin(), text.end(), value);
  return value;
}

double seconds_since(SteadyClock::time_point begun) {
  return std::chrono::duration<double>(SteadyClock::now() - begun).count();
}

// Hands one batch over and waits until the book has it, in its log and signed; nothing for one that it refused.
bool ship(Sender& sender, Batch batch) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<bool> taken;
  sender.submit(std::move(batch), [&](const Status& status) {
    const std::lock_guard lock(mutex);
    taken = status.has_value();
    changed.notify_one();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return taken.has_value(); });
  return *taken;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  SenderOptions options;
  options.socket = argv[1];
  options.spool = argv[2];
  options.host = argv[3];
  options.program = "rate_source";
  options.say = [](const std::string& sentence) { fmt::print(stderr, "{}\n", sentence); };
  const uint64_t rate = number(argv[4]);
  const uint64_t wanted = rate * number(argv[5]);
  auto sender = Sender::start(std::move(options), system_clock());
  if (!sender.has_value()) {
    fmt::print(stderr, "{}\n", sender.error().message);
    return 1;
  }
  const std::string name = std::string(argv[3]) + "/rate";
  if ((*sender)->last_seq(name) != 0) return 1;
  TestSource source(name);
  const auto begun = SteadyClock::now();
  uint64_t made = 0;
  uint64_t batches = 0;
  double longest = 0;
  for (auto next = begun + kBatchEvery; made < wanted; next += kBatchEvery) {
    std::this_thread::sleep_until(next);
    const auto due = std::min(wanted, static_cast<uint64_t>(seconds_since(begun) * static_cast<double>(rate)));
    while (made < due) {
      const auto count = static_cast<uint32_t>(std::min<uint64_t>(due - made, kBatchRecordsMost));
      const auto handed = SteadyClock::now();
      if (!ship(**sender, source.batch(count))) return 1;
      longest = std::max(longest, seconds_since(handed));
      made += count;
      ++batches;
    }
  }
  const double took = seconds_since(begun);
  (*sender)->stop();
  fmt::print("{} {:.3f} {} {:.1f}\n", made, took, batches, longest * 1000);
  return 0;
}
