// Lines per second of each format, to the bytes that are hashed. ./dev bench sources
#include <benchmark/benchmark.h>

#include "record/cbor.h"
#include "sources/decode.h"

namespace portbook {
namespace {

void decode_one(benchmark::State& state, LineFormat format, std::string_view line) {
  const LineOrigin origin{1'795'437'130'000'000'000, {}};
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
BENCHMARK_CAPTURE(decode_one, postgresql_recommended, LineFormat::kPostgresql,
                  "portbook/1 1795438201.252 [14752] 6b043679.39a0 10.0.0.8(56240) alice shop psql LOG:  duration: 0.240 ms  "
                  "statement: select 1");
BENCHMARK_CAPTURE(decode_one, postgresql_debian, LineFormat::kPostgresql,
                  "2026-11-23 12:47:00.105 UTC [11156] alice@shop LOG:  disconnection: session time: 0:00:00.008 user=alice "
                  "database=shop host=10.0.0.8 port=55158");
BENCHMARK_CAPTURE(
    decode_one, postgresql_json, LineFormat::kPostgresql,
    R"({"timestamp":"2026-11-24 02:49:23.086 UTC","user":"alice","dbname":"shop","pid":24578,"remote_host":"10.0.0.8","remote_port":41210,"session_id":"6b04fb33.6002","line_num":3,"ps":"idle","session_start":"2026-11-24 02:49:23 UTC","vxid":"3/2","txid":0,"error_severity":"LOG","message":"statement: select 1","application_name":"psql","backend_type":"client backend","query_id":0})");
BENCHMARK_CAPTURE(
    decode_one, postgresql_csv, LineFormat::kPostgresql,
    R"(2026-11-24 02:49:23.086 UTC,"alice","shop",24578,"10.0.0.8:41210",6b04fb33.6002,3,"idle",2026-11-24 02:49:23 UTC,3/2,0,LOG,00000,"statement: select 1",,,,,,,,,"psql","client backend",,0)");
BENCHMARK_CAPTURE(decode_one, pgbouncer, LineFormat::kPgbouncer,
                  "2026-11-23 12:47:01.220 UTC [11205] LOG S-0x55ac5a7220d0: shop/alice@10.0.0.9:5432 new connection to server "
                  "(from 10.0.0.8:55200)");
BENCHMARK_CAPTURE(decode_one, nginx_recommended, LineFormat::kNginx,
                  "portbook/1 http 1795478859.217 0.001 203.0.113.5 46582 198.51.100.9 443 200 91 124 9 10.8.3.17:18083, "
                  "10.8.3.18:18082");
BENCHMARK_CAPTURE(
    decode_one, nginx_combined, LineFormat::kNginx,
    "203.0.113.5 - - [24/Nov/2026:00:07:39 +0000] \"GET /up HTTP/1.1\" 200 3 \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"");
BENCHMARK_CAPTURE(decode_one, sshd, LineFormat::kSshd,
                  "Nov 23 12:50:03 bastion sshd[14842]: Accepted publickey for alice from 203.0.113.5 port 33980 ssh2: ED25519 "
                  "SHA256:mtzcbDYVJfK/BKwjcmTapVzI/z+n+9c4uIsXUEr4VzM");

}  // namespace
}  // namespace portbook
