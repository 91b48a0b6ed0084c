// What the book costs: records through submit (checked, hashed, durable, signed, searchable), verify, bytes on disk, visibility.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "book/local_book.h"
#include "book/test_batches.h"
#include "book/verify.h"

namespace portbook {
namespace {

constexpr uint32_t kBatchRecords = 4000;

std::unique_ptr<Book> open(const TemporaryFolder& folder) {
  auto book = Book::open({.folder = folder.path(), .origin = "bench.example.org", .host = "bench"}, system_clock());
  PB_CHECK(book.has_value());
  return std::move(*book);
}

uint64_t bytes_of(const TemporaryFolder& folder, std::string_view prefix) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with(prefix)) bytes += entry.file_size();
  }
  return bytes;
}

// Of the whole process, all threads: tells the cost also on a busy machine.
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// `sources` threads submit ready-made batches of one source each, several under way. Sealing goes on beside it and is waited for.
void sustained(benchmark::State& state) {
  const auto sources = static_cast<size_t>(state.range(0));
  constexpr size_t kBatches = 250;
  for (auto _ : state) {
    state.PauseTiming();
    const TemporaryFolder folder;
    auto book = open(folder);
    std::vector<std::vector<Batch>> batches(sources);
    uint64_t record_bytes = 0;
    for (size_t s = 0; s < sources; ++s) {
      TestSource source(fmt::format("bench/{}", s), s + 1);
      for (size_t i = 0; i < kBatches / sources; ++i) {
        batches[s].push_back(source.batch(kBatchRecords));
        record_bytes += batches[s].back().bytes.size();
      }
    }
    std::atomic<uint64_t> acknowledged{0};
    const double cpu_before = cpu_seconds();
    state.ResumeTiming();
    {
      std::vector<std::jthread> threads;
      for (auto& of_one : batches) {
        threads.emplace_back([&] {
          for (Batch& batch : of_one) {
            book->submit(std::move(batch), [&](const Result<Receipt>& receipt) {
              PB_CHECK(receipt.has_value());
              acknowledged += receipt->count;
            });
          }
        });
      }
    }
    const uint64_t wanted = kBatches / sources * sources * kBatchRecords;
    while (acknowledged < wanted) book->wait_beyond(book->view().size(), std::chrono::milliseconds(5));
    state.PauseTiming();
    const uint64_t sealed_size = book->view().size() / kBlockRowsMax * kBlockRowsMax;
    while (!std::filesystem::exists(folder.path() / segment_file_name(sealed_size - kBlockRowsMax))) {
      book->wait_beyond(UINT64_MAX, std::chrono::milliseconds(5));
    }
    state.counters["cpu_us/record"] = (cpu_seconds() - cpu_before) * 1e6 / static_cast<double>(wanted);
    state.counters["records/s"] = benchmark::Counter(static_cast<double>(wanted), benchmark::Counter::kIsIterationInvariantRate);
    state.counters["bytes/record"] = static_cast<double>(bytes_of(folder, "segment-")) / static_cast<double>(sealed_size);
    state.counters["encoded bytes/record"] = static_cast<double>(record_bytes) / static_cast<double>(wanted);
    book.reset();
    const auto began = std::chrono::steady_clock::now();
    const double cpu_began = cpu_seconds();
    const auto report = verify_book(folder.path(), {});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    state.counters["verify_cpu_us/record"] = (cpu_seconds() - cpu_began) * 1e6 / static_cast<double>(report ? report->size : 1);
    PB_CHECK(report.has_value() && !report->problem);
    state.counters["verified/s"] = static_cast<double>(report->size) / took.count();
    state.ResumeTiming();
  }
}
BENCHMARK(sustained)->Arg(1)->Arg(4)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);

// From submit to visible, one small batch at a time.
void visibility(benchmark::State& state) {
  const TemporaryFolder folder;
  const auto book = open(folder);
  TestSource source("bench/socket");
  for (auto _ : state) {
    state.PauseTiming();
    Batch batch = source.batch(static_cast<uint32_t>(state.range(0)));
    state.ResumeTiming();
    PB_CHECK(book->append(std::move(batch)).has_value());
  }
}
BENCHMARK(visibility)->Arg(1)->Arg(100)->Unit(benchmark::kMicrosecond)->UseRealTime();

void prove(benchmark::State& state) {
  const TemporaryFolder folder;
  const auto book = open(folder);
  TestSource source("bench/socket");
  for (int i = 0; i < 20; ++i) PB_CHECK(book->append(source.batch(3000)).has_value());
  uint64_t index = 0;
  for (auto _ : state) benchmark::DoNotOptimize(book->prove(index = (index + 7919) % book->view().size()));
}
BENCHMARK(prove)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace portbook
