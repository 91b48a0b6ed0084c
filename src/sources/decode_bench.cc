// Lines per second of each format, to the bytes that are hashed. ./dev bench sources
#include <benchmark/benchmark.h>

#include "record/cbor.h"
#include "sources/decode.h"

namespace portbook {
namespace {

void decode_one(benchmark::State& state, LineFormat format, std::string_view line) {
  const LineOrigin origin{1'795'437'130'000'000'000, 0};
  Record record;
  Bytes bytes;
  for (auto _ : state) {
    bytes.clear();
    if (!decode_line(format, line, origin, record)) std::abort();
    record.set(Field::kSource, "lb-1/import/haproxy");
    record.set(Field::kSourceSeq, uint64_t{2'106'331});
    benchmark::DoNotOptimize(encode(record, bytes));
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(decode_one, haproxy_recommended, LineFormat::kHaproxy,
                  "Nov 23 12:31:58 lb-1 haproxy[31630]: portbook/1 1795437118.735 12 203.0.113.5:37488 198.51.100.9:443 "
                  "10.8.0.1:52750 10.8.3.17:5432 front back s1 -- 28 40");
BENCHMARK_CAPTURE(decode_one, haproxy_tcplog, LineFormat::kHaproxy,
                  "Nov 23 12:31:46 lb-1 haproxy[31630]: 203.0.113.5:34866 [23/Nov/2026:12:31:46.704] front back/s1 1/0/12 40 -- "
                  "1/1/0/0/0 0/0");
BENCHMARK_CAPTURE(decode_one, haproxy_httplog, LineFormat::kHaproxy,
                  "Nov 23 12:31:52 lb-1 haproxy[31630]: 203.0.113.5:44034 [23/Nov/2026:12:31:52.718] front back/s1 0/0/0/0/0 200 "
                  "51 - - ---- 1/1/0/0/0 0/0 \"GET /a HTTP/1.0\"");

}  // namespace
}  // namespace portbook
