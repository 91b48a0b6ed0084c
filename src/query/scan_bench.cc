// What the aggregations of people's questions cost over sealed blocks: count and sum by program, one user's histogram, the
// destinations of one port; each with another filter and a range of time, so that no stored total could answer.
// PORTBOOK_SCAN_RECORDS says how many records (1,000,000), PORTBOOK_SCAN_CACHE how many MiB decoded blocks may take (1024).
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/check.h"
#include "query/count.h"
#include "query/map.h"
#include "store/seal.h"
#include "store/sealed_block.h"

namespace portbook {
namespace {

constexpr TimeNs kBegan = 1'795'000'000'000'000'000;
constexpr uint32_t kProcesses = 2000;
constexpr uint32_t kServices = 40;

uint64_t from_environment(const char* name, uint64_t usual) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return usual;
  uint64_t number = usual;
  std::from_chars(text, text + std::string_view(text).size(), number);
  return number;
}

// What capture writes of an estate of 200 hosts: processes first, then opens and closes of two thirds outbound connections, 15 %
// of them translated, 5 % never closed.
class Estate {
 public:
  void next(Record& record) {
    record.clear();
    record.set(Field::kSource, "bench/socket");
    record.set(Field::kSourceSeq, ++seq_);
    record.set(Field::kTime, now_ += below(2000));
    record.set(Field::kVantage, Vantage::kSocket);
    record.set(Field::kClockError, 40'000 + below(1000));
    if (seq_ <= kProcesses) {
      make_process(record, static_cast<uint32_t>(seq_ - 1));
    } else if (open_.size() > 2000 && below(2) == 0) {
      make_close(record);
    } else {
      make_open(record);
    }
  }
  [[nodiscard]] TimeNs now() const { return now_; }

 private:
  struct Connection {
    uint64_t cookie;
    TimeNs start;
    uint32_t process;
    uint32_t server;
    uint16_t port;
    bool inbound;
    bool translated;
  };

  uint64_t below(uint64_t end) { return random_() % end; }
  // Few have most: the square of a uniform number.
  uint32_t few_have_most(uint32_t end) { return static_cast<uint32_t>(below(end) * below(end) / end); }

  static void set_owner(Record& record, uint32_t process) {
    record.set(Field::kHost, fmt::format("web-{}", process % 200));
    record.set(Field::kPid, uint64_t{1000} + process);
    record.set(Field::kProcessStart, kBegan - uint64_t{process} * 1'000'003);
    record.set(Field::kExe, fmt::format("/usr/bin/service-{}", process % 60));
    record.set(Field::kUid, 1000 + process % 50);
  }

  static void make_process(Record& record, uint32_t process) {
    record.set(Field::kKind, Kind::kProcess);
    set_owner(record, process);
    record.set(Field::kUser, fmt::format("user-{}", process % 50));
    record.set(Field::kCmdline, fmt::format("service --shard {}", process));
  }

  static void set_connection(Record& record, const Connection& one) {
    Id128 conn{0x42, 0x17, 0x99, 0x01, 0xab, 0xcd, 0xef, 0x10};
    store_big(conn.data() + 8, one.cookie);
    set_owner(record, one.process);
    record.set(Field::kConn, conn);
    record.set(Field::kProto, Proto::kTcp);
    record.set(Field::kDirection, one.inbound ? Direction::kIn : Direction::kOut);
    if (one.inbound) record.set(Field::kRole, Role::kAcceptor);
    record.set(Field::kSrcIp, Field::kSrcPort, {Ip::v4(0x0a080000 + one.process % 200), one.port});
    record.set(Field::kDstIp, Field::kDstPort,
               {Ip::v4(0x0a090000 + one.server * 7 + one.process % 5), static_cast<uint16_t>(8000 + one.server)});
    record.set(Field::kNetns, 4026531840);
    record.set(Field::kNat, one.translated ? Nat::kTranslated : Nat::kNone);
    if (one.translated) record.set(Field::kSrcNatIp, Field::kSrcNatPort, {Ip::v4(0xcb007105), one.port});
  }

  void make_open(Record& record) {
    const Connection one{++cookie_,
                         now_,
                         few_have_most(kProcesses),
                         few_have_most(kServices),
                         static_cast<uint16_t>(32768 + below(28232)),
                         below(3) == 0,
                         below(100) < 15};
    record.set(Field::kKind, Kind::kOpen);
    set_connection(record, one);
    if (below(20) != 0) open_.push_back(one);
  }

  void make_close(Record& record) {
    const size_t which = below(open_.size());
    std::swap(open_[which], open_.back());
    const Connection one = open_.back();
    open_.pop_back();
    record.set(Field::kKind, Kind::kClose);
    set_connection(record, one);
    record.set(Field::kStart, one.start);
    record.set(Field::kEnd, now_);
    record.set(Field::kOutcome, below(50) == 0 ? Outcome::kReset : Outcome::kOk);
    record.set(Field::kBytesOut, few_have_most(1'000'000));
    record.set(Field::kBytesIn, few_have_most(1'000'000));
  }

  std::mt19937_64 random_{7};
  uint64_t seq_ = 0;
  uint64_t cookie_ = 0;
  TimeNs now_ = kBegan;
  std::vector<Connection> open_;
};

// The records as segments in a folder of their own, sealed by the book's sealer.
class SealedEstate {
 public:
  SealedEstate() : folder_(std::filesystem::temp_directory_path() / fmt::format("portbook-scan-{}", getpid())) {
    std::filesystem::create_directories(folder_);
    disk_ = make_machine_disk(folder_);
    const uint64_t blocks = from_environment("PORTBOOK_SCAN_RECORDS", 1'000'000) / kBlockRowsMax + 1;
    Estate estate;
    SourceSeqs seqs;
    std::vector<BlockRef> refs;
    for (uint64_t block = 0; block < blocks; ++block)
      refs.push_back({seal_next(estate, block * kBlockRowsMax, seqs), kBlockRowsMax});
    records = blocks * kBlockRowsMax;
    view = View(records, std::move(refs), nullptr, std::make_shared<ConnectionRows>());
    until = estate.now();
  }
  ~SealedEstate() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  SealedEstate(const SealedEstate&) = delete;
  SealedEstate& operator=(const SealedEstate&) = delete;

  [[nodiscard]] Disk& disk() const { return *disk_; }

  View view;
  uint64_t records = 0;
  uint64_t bytes = 0;
  TimeNs until = 0;

 private:
  std::shared_ptr<Block> seal_next(Estate& estate, uint64_t first, SourceSeqs& seqs) {
    Columns columns;
    Record record;
    for (uint32_t row = 0; row < kBlockRowsMax; ++row) {
      estate.next(record);
      columns.append(record);
    }
    columns.publish();
    SourceSeqs followed = seqs;
    std::vector<SeqBreak> breaks;
    const BlockFacts facts = facts_of(columns, kBlockRowsMax, followed, breaks);
    auto sealed = seal_block(first, columns, kBlockRowsMax, facts.groups, seqs, encode_columns);
    PB_CHECK(sealed.has_value());
    seqs = std::move(sealed->seqs);
    bytes += sealed->file.size();
    const std::string name = segment_file_name(first);
    PB_CHECK(write_file(*disk_, name, sealed->file).has_value());
    const auto file = disk_->open_to_read(name);
    auto footer = read_segment_footer(**file);
    PB_CHECK(footer.has_value());
    return std::make_shared<SealedBlock>(*disk_, cache_, std::move(*footer));
  }

  std::filesystem::path folder_;
  std::unique_ptr<Disk> disk_;
  BlockCache cache_{from_environment("PORTBOOK_SCAN_CACHE", 1024) << 20};
};

const SealedEstate& estate() {
  static const SealedEstate made;
  return made;
}

CountLimits unlimited() {
  return {.time = std::chrono::minutes(10), .rows = UINT64_MAX, .distinct = 20'000, .cancelled = [] { return false; }};
}

// The middle three quarters of the time, and a filter.
Filter filter_of(std::string_view text) {
  const TimeNs eighth = (estate().until - kBegan) / 8;
  auto filter =
      parse_filter(fmt::format("since:{} until:{} {}", format_time(kBegan + eighth), format_time(estate().until - eighth), text),
                   estate().until);
  PB_CHECK(filter.has_value());
  return std::move(*filter);
}

void report(benchmark::State& state, uint64_t rows) {
  state.counters["matching"] = static_cast<double>(rows);
  state.counters["records/s"] =
      benchmark::Counter(static_cast<double>(estate().records), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["bytes/record"] = static_cast<double>(estate().bytes) / static_cast<double>(estate().records);
}

void by_program(benchmark::State& state) {
  uint64_t rows = 0;
  estate();
  for (auto _ : state) {
    const auto groups = count_by(estate().view, filter_of("bytes_out:>1k"), {Field::kExe}, 50, GroupOrder::kBytesOut, unlimited());
    PB_CHECK(groups.has_value() && !groups->sampled);
    rows = groups->rows;
  }
  report(state, rows);
}
BENCHMARK(by_program)->Unit(benchmark::kMillisecond)->UseRealTime();

void by_user(benchmark::State& state) {
  uint64_t rows = 0;
  estate();
  for (auto _ : state) {
    const auto groups = count_by(estate().view, filter_of("bytes_out:>1k"), {Field::kUser}, 50, GroupOrder::kBytesOut, unlimited());
    PB_CHECK(groups.has_value() && !groups->sampled);
    rows = groups->rows;
  }
  report(state, rows);
}
BENCHMARK(by_user)->Unit(benchmark::kMillisecond)->UseRealTime();

void histogram_of_user(benchmark::State& state) {
  uint64_t rows = 0;
  estate();
  for (auto _ : state) {
    const auto found = histogram(estate().view, filter_of("user:user-7 dst.port:<8020"), kBegan, estate().until, 1000, unlimited());
    PB_CHECK(found.has_value() && !found->sampled);
    rows = found->rows;
  }
  report(state, rows);
}
BENCHMARK(histogram_of_user)->Unit(benchmark::kMillisecond)->UseRealTime();

void destinations_of_port(benchmark::State& state) {
  uint64_t rows = 0;
  estate();
  for (auto _ : state) {
    const auto groups =
        count_by(estate().view, filter_of("dst.port:8003 bytes_in:<900000"), {Field::kDstIp}, 20, GroupOrder::kCount, unlimited());
    PB_CHECK(groups.has_value() && !groups->sampled);
    rows = groups->rows;
  }
  report(state, rows);
}
BENCHMARK(destinations_of_port)->Unit(benchmark::kMillisecond)->UseRealTime();

void all_facets(benchmark::State& state) {
  uint64_t rows = 0;
  estate();
  for (auto _ : state) {
    const auto found = facets(estate().view, filter_of("bytes_out:>1k"), unlimited());
    PB_CHECK(found.has_value() && !found->sampled);
    rows = found->rows;
  }
  report(state, rows);
}
BENCHMARK(all_facets)->Unit(benchmark::kMillisecond)->UseRealTime();

// Who talks to whom, over all connections up to the map's limit.
void whole_map(benchmark::State& state) {
  uint64_t rows = 0;
  estate();
  for (auto _ : state) {
    const auto map = service_map(estate().view, filter_of(""), std::chrono::minutes(5));
    PB_CHECK(map.has_value());
    rows = map->connections;
  }
  report(state, rows);
}
BENCHMARK(whole_map)->Unit(benchmark::kMillisecond)->UseRealTime();

// A port that nobody has, on whichever side: also what leases say of each connection is asked.
void any_port(benchmark::State& state) {
  estate();
  for (auto _ : state) {
    Search search(estate().view, filter_of("port:1"), std::nullopt);
    const auto done = search.step(100, std::chrono::minutes(5), [](const Row&) {});
    PB_CHECK(done.has_value() && *done);
  }
  report(state, estate().view.size());
}
BENCHMARK(any_port)->Unit(benchmark::kMillisecond)->UseRealTime();

// Four blocks read from their files, and decoded as far as counting by program needs.
void decode_columns_of_four_blocks(benchmark::State& state) {
  const FieldSet wanted = fields_of(
      std::array{Field::kKind, Field::kConn, Field::kTime, Field::kStart, Field::kExe, Field::kBytesOut, Field::kBytesIn});
  for (auto _ : state) {
    for (const BlockRef& ref : estate().view.blocks().first(4)) {
      const auto& sealed = static_cast<const SealedBlock&>(*ref.block);
      const auto file = estate().disk().open_to_read(segment_file_name(ref.block->first_index()));
      PB_CHECK(read_segment_columns(**file, sealed.footer(), wanted).has_value());
    }
  }
}
BENCHMARK(decode_columns_of_four_blocks)->Unit(benchmark::kMillisecond)->UseRealTime();

// The same blocks decoded whole.
void decode_four_blocks(benchmark::State& state) {
  for (auto _ : state) {
    for (const BlockRef& ref : estate().view.blocks().first(4)) {
      const auto& sealed = static_cast<const SealedBlock&>(*ref.block);
      const auto file = estate().disk().open_to_read(segment_file_name(ref.block->first_index()));
      const auto columns = read_segment_columns(**file, sealed.footer());
      PB_CHECK(columns.has_value());
    }
  }
}
BENCHMARK(decode_four_blocks)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace portbook
