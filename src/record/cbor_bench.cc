// Cost of a record's own steps: encode, leaf hash, decode. ./dev bench record
#include <benchmark/benchmark.h>

#include "base/hash.h"
#include "record/cbor.h"
#include "record/json.h"

namespace portbook {
namespace {

Record usual_open() {
  Record record;
  const auto status = from_json(
      R"({"kind":"open","time":"2026-11-22T12:03:01.990412877Z","vantage":"socket","source":"web-7/socket","source_seq":2106331,
          "host":"web-7","proto":"tcp","direction":"out","src.ip":"10.8.3.17","src.port":51420,"dst.ip":"198.51.100.9","dst.port":443,
          "nat":"none","conn":"a0a1a2a3a4a5a6a70000000000002a31","netns":4026531840,"pid":7273,
          "process_start":"2026-11-22T11:58:12.006120000Z","exe":"/usr/bin/python3","uid":1001,"clock_error":400000})",
      record);
  if (!status) std::abort();
  return record;
}

void encode_open(benchmark::State& state) {
  const Record record = usual_open();
  Bytes out;
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(encode(record, out));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(encode_open);

void decode_open(benchmark::State& state) {
  Bytes bytes;
  encode(usual_open(), bytes);
  Record record;
  for (auto _ : state) benchmark::DoNotOptimize(decode(bytes, record));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(decode_open);

void hash_open(benchmark::State& state) {
  Bytes bytes;
  encode(usual_open(), bytes);
  constexpr Byte kLeaf = 0;
  for (auto _ : state) benchmark::DoNotOptimize(sha256({&kLeaf, 1}, bytes));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(hash_open);

void json_of_open(benchmark::State& state) {
  const Record record = usual_open();
  for (auto _ : state) benchmark::DoNotOptimize(to_json(record));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(json_of_open);

}  // namespace
}  // namespace portbook
