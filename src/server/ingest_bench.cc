// What shipping costs: the same batches straight into the book, and through an agent's sender, a unix socket and the ingest of a
// book. Records a second until all are acknowledged (durable, signed, visible), and CPU time of the whole process per record.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <future>
#include <thread>

#include "book/test_batches.h"
#include "server/ingest.h"
#include "ship/sender.h"

namespace portbook {
namespace {

constexpr uint32_t kBatchRecords = 4000;
constexpr size_t kBatches = 300;
constexpr size_t kSources = 3;  // as an agent has

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::unique_ptr<Book> open(const TemporaryFolder& folder) {
  auto book = Book::open({.folder = folder.path() / "book", .origin = "bench.example.org", .host = "web-7"}, system_clock());
  PB_CHECK(book.has_value());
  return std::move(*book);
}

using Hand = std::function<void(Batch, std::function<void(bool)>)>;

// One batch of each source at a time, as capture does; returns when all are acknowledged.
void hand_over_all(std::vector<std::vector<Batch>>& sources, const Hand& hand) {
  std::vector<std::jthread> threads;
  for (auto& batches : sources) {
    threads.emplace_back([&] {
      for (Batch& batch : batches) {
        std::promise<bool> good;
        hand(std::move(batch), [&](bool taken) { good.set_value(taken); });
        PB_CHECK(good.get_future().get());
      }
    });
  }
}

std::vector<std::vector<Batch>> make_batches() {
  std::vector<std::vector<Batch>> sources(kSources);
  for (size_t s = 0; s < kSources; ++s) {
    TestSource source(fmt::format("web-7/{}", s), s + 1);
    for (size_t i = 0; i < kBatches / kSources; ++i) sources[s].push_back(source.batch(kBatchRecords));
  }
  return sources;
}

void measure(benchmark::State& state,
             const std::function<void(Book&, const TemporaryFolder&, std::vector<std::vector<Batch>>&)>& run) {
  for (auto _ : state) {
    state.PauseTiming();
    const TemporaryFolder folder;
    const auto book = open(folder);
    auto batches = make_batches();
    const double before = cpu_seconds();
    state.ResumeTiming();
    run(*book, folder, batches);
    state.PauseTiming();
    const auto records = static_cast<double>(kBatches * kBatchRecords);
    state.counters["cpu_us/record"] = (cpu_seconds() - before) * 1e6 / records;
    state.counters["records/s"] = benchmark::Counter(records, benchmark::Counter::kIsIterationInvariantRate);
    state.ResumeTiming();
  }
}

void direct(benchmark::State& state) {
  measure(state, [](Book& book, const TemporaryFolder&, std::vector<std::vector<Batch>>& batches) {
    hand_over_all(batches, [&](Batch batch, std::function<void(bool)> done) {
      book.submit(std::move(batch), [done = std::move(done)](const Result<Receipt>& receipt) { done(receipt.has_value()); });
    });
  });
}
BENCHMARK(direct)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);

void shipped(benchmark::State& state) {
  measure(state, [](Book& book, const TemporaryFolder& folder, std::vector<std::vector<Batch>>& batches) {
    const auto credentials = Credentials::load(folder.path());
    PB_CHECK(credentials.has_value());
    IngestOptions options;
    options.socket = folder.path() / "ingest.sock";
    options.host = "web-7";
    const auto ingest = Ingest::bind(book, **credentials, options, system_clock());
    PB_CHECK(ingest.has_value());
    (*ingest)->run();
    SenderOptions sending;
    sending.socket = options.socket;
    sending.host = "web-7";
    sending.spool = folder.path() / "spool";
    const auto sender = Sender::start(sending, system_clock());
    PB_CHECK(sender.has_value());
    for (const auto& source : batches) PB_CHECK((*sender)->last_seq(source.front().source) == 0);
    hand_over_all(batches, [&](Batch batch, std::function<void(bool)> done) {
      (*sender)->submit(std::move(batch), [done = std::move(done)](const Status& status) { done(status.has_value()); });
    });
    PB_CHECK((*sender)->drain(std::chrono::seconds(60)));
  });
}
BENCHMARK(shipped)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);

}  // namespace
}  // namespace portbook
