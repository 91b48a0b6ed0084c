// How long it takes to say who had an endpoint at a moment, in a book of the workload's records, and to open that book.
//   who_bench RECORDS FOLDER [--questions N] [--seed N] [--only KIND]
// FOLDER is made and filled unless it holds such a book already. Questions are of several kinds, each asked warm (the whole set
// once before) and cold (the book's files dropped from the page cache before each question; its own decoded blocks stay). With
// --only those kinds whose name has KIND in it, warm: to be profiled.
#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/check.h"
#include "book/book.h"
#include "query/search.h"
#include "query/who.h"
#include "workload.h"

namespace portbook {
namespace {

constexpr uint32_t kBatchRecords = 16'000;
constexpr size_t kUnderWayMax = 4;
constexpr size_t kFirstRows = 100;
constexpr size_t kProfiledQuestions = 20'000;

struct Options {
  uint64_t records = 0;
  std::filesystem::path folder;
  size_t questions = 500;
  uint64_t seed = 1;
  std::string_view only;
};

struct Question {
  Endpoint endpoint;
  TimeNs at = 0;
};

// Questions of one kind, a fair sample of all that came by.
class Sample {
 public:
  Sample(std::string name, size_t size, uint64_t seed) : name_(std::move(name)), size_(size), random_(seed) {}

  void offer(const Question& question) {
    ++offered_;
    if (kept_.size() < size_) {
      kept_.push_back(question);
    } else if (const uint64_t place = random_() % offered_; place < size_) {
      kept_[place] = question;
    }
  }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<Question>& kept() const { return kept_; }

 private:
  std::string name_;
  size_t size_;
  std::mt19937_64 random_;
  uint64_t offered_ = 0;
  std::vector<Question> kept_;
};

// Watches the workload go by and gathers what may be asked about it.
class Questions {
 public:
  explicit Questions(const Options& options)
      : random_(options.seed + 7),
        client_("a client's port, covered", options.questions, 1),
        lease_("an external port, covered", options.questions, 2),
        late_("told a minute late or more", options.questions, 3),
        open_("never closed", options.questions, 4),
        reused_("known endpoint, another moment", options.questions, 5),
        unknown_("unknown endpoint", options.questions, 6),
        server_("a server's port", std::min<size_t>(options.questions, 20), 7) {}

  void see(const Record& record) {
    if (!record.has(Field::kSrcPort) || !record.has(Field::kTime)) return;
    newest_ = std::max(newest_, record.time());
    if (first_ == 0) first_ = record.time();
    const Endpoint source = *record.endpoint(Field::kSrcIp, Field::kSrcPort);
    if (record.kind() == Kind::kClose || record.kind() == Kind::kNatClose) {
      const TimeNs start = record.uint(Field::kStart);
      const Question covered{source, start + random_() % (record.uint(Field::kEnd) - start + 1)};
      const bool lease = record.kind() == Kind::kNatClose;
      if (lease) lease_.offer({*record.endpoint(Field::kSrcNatIp, Field::kSrcNatPort), covered.at});
      if (!lease) client_.offer(covered);
      if (record.time() + 60 * kNsPerSecond < newest_) late_.offer(covered);
      if (!lease) server_.offer({*record.endpoint(Field::kDstIp, Field::kDstPort), covered.at});
      reused_.offer({source, first_ + random_() % (newest_ - first_ + 1)});
      unknown_.offer({{source.ip, static_cast<uint16_t>(61'000 + random_() % 4'000)}, covered.at});
      if (!lease) remembered_.erase(record.id128(Field::kConn));
    } else if (record.kind() == Kind::kOpen && random_() % 64 == 0) {
      remembered_.emplace(record.id128(Field::kConn), Question{source, record.time() + random_() % (600 * kNsPerSecond)});
    }
  }
  void finish() {
    for (const auto& [conn, question] : remembered_) {
      if (question.at < newest_) open_.offer(question);
    }
  }
  [[nodiscard]] std::vector<const Sample*> all() const {
    return {&client_, &lease_, &late_, &open_, &reused_, &unknown_, &server_};
  }
  [[nodiscard]] const Sample& client() const { return client_; }
  [[nodiscard]] TimeNs newest() const { return newest_; }

 private:
  struct ConnHash {
    size_t operator()(const Id128& conn) const { return static_cast<size_t>(load_little<uint64_t>(conn.data() + 8)); }
  };
  std::mt19937_64 random_;
  TimeNs first_ = 0;
  TimeNs newest_ = 0;
  std::unordered_map<Id128, Question, ConnHash> remembered_;  // opened; their ends did not come by yet
  Sample client_;
  Sample lease_;
  Sample late_;
  Sample open_;
  Sample reused_;
  Sample unknown_;
  Sample server_;
};

std::unique_ptr<Book> open_book(const Options& options) {
  auto book = Book::open({.folder = options.folder, .origin = "bench.example.org", .host = "bench"}, system_clock());
  if (!book) fmt::print(stderr, "{}\n", book.error().message);
  PB_CHECK(book.has_value());
  return std::move(*book);
}

// Every record of the workload goes by `questions`; with a book also into that.
void run_workload(const Options& options, Questions& questions, Book* book) {
  Workload workload({.seed = options.seed});
  BatchBuilder builder("bench/socket", 1);
  Record record;
  std::mutex mutex;
  std::condition_variable answered;
  size_t under_way = 0;
  const auto submit = [&] {
    std::unique_lock lock(mutex);
    answered.wait(lock, [&] { return under_way < kUnderWayMax; });
    ++under_way;
    lock.unlock();
    book->submit(builder.take(), [&](const Result<Receipt>& receipt) {
      PB_CHECK(receipt.has_value());
      const std::lock_guard held(mutex);
      --under_way;
      answered.notify_one();
    });
  };
  for (uint64_t i = 0; i < options.records; ++i) {
    workload.next(record);
    questions.see(record);
    if (book == nullptr) continue;
    builder.add(record);
    if (builder.count() == kBatchRecords || i + 1 == options.records) submit();
  }
  std::unique_lock lock(mutex);
  answered.wait(lock, [&] { return under_way == 0; });
  questions.finish();
}

void drop_page_cache(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

double milliseconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
}

// Of this thread: what a question costs also on a busy machine.
double cpu_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

struct Asked {
  std::vector<double> times;  // by the clock
  std::vector<double> cpu;
  size_t found = 0;
};

void print_times(std::string_view name, std::string_view how, Asked asked) {
  if (asked.times.empty()) return;
  std::ranges::sort(asked.times);
  std::ranges::sort(asked.cpu);
  const auto at = [](const std::vector<double>& times, double share) {
    return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
  };
  fmt::print("| {} | {} | {} | {} | {:.3f} | {:.3f} | {:.3f} | {:.3f} | {:.3f} |\n", name, how, asked.times.size(), asked.found,
             at(asked.times, 0.5), at(asked.times, 0.99), asked.times.back(), at(asked.cpu, 0.5), at(asked.cpu, 0.99));
  std::fflush(stdout);
}

template <typename Ask>
Asked ask_all(const std::vector<Question>& questions, bool cold, const Options& options, Ask ask) {
  Asked asked;
  for (const Question& question : questions) {
    if (cold) drop_page_cache(options.folder);
    const auto began = std::chrono::steady_clock::now();
    const double cpu_began = cpu_milliseconds();
    asked.found += ask(question) ? 1 : 0;
    asked.times.push_back(milliseconds_since(began));
    asked.cpu.push_back(cpu_milliseconds() - cpu_began);
  }
  return asked;
}

template <typename Ask>
void measure(std::string_view name, const std::vector<Question>& questions, const Options& options, Ask ask) {
  if (!name.contains(options.only)) return;
  constexpr size_t kColdMax = 50;
  const std::vector<Question> few(questions.begin(),
                                  questions.begin() + static_cast<ptrdiff_t>(std::min(kColdMax, questions.size())));
  if (options.only.empty()) print_times(name, "cold", ask_all(few, true, options, ask));
  const size_t rounds = options.only.empty() ? 1 : kProfiledQuestions / questions.size() + 1;
  for (size_t round = 0; round < rounds; ++round) ask_all(questions, false, options, ask);
  print_times(name, "warm", ask_all(questions, false, options, ask));
}

uint64_t anonymous_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    uint64_t kib = 0;
    if (line.starts_with("RssAnon:")) {
      const size_t digit = line.find_first_of("0123456789");
      std::from_chars(line.data() + digit, line.data() + line.size(), kib);
      return kib;
    }
  }
  return 0;
}

void print_sizes(const std::filesystem::path& folder) {
  uint64_t records = 0;  // in sealed blocks, a file each
  uint64_t segments = 0;
  uint64_t runs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("segment-")) {
      segments += entry.file_size();
      records += kBlockRowsMax;
    }
    if (name.starts_with("index-")) runs += entry.file_size();
  }
  const auto each = [&](uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(records); };
  fmt::print("bytes per record: segments {:.2f}, index runs {:.2f}\n", each(segments), each(runs));
}

// Blocks that no run speaks of are named for every key; those that remain are the unsealed ones.
size_t wait_for_runs(Book& book) {
  constexpr size_t kUnsealedMax = 2;
  while (true) {
    const size_t named = book.view().blocks_with(endpoint_key({Ip::v4(1), 1})).size();
    if (named <= kUnsealedMax) return named;
    book.wait_beyond(book.view().size(), std::chrono::milliseconds(10));
  }
}

int run(const Options& options) {
  Questions questions(options);
  const bool there = std::filesystem::exists(options.folder / "book");
  {
    std::unique_ptr<Book> book = there ? nullptr : open_book(options);
    const auto began = std::chrono::steady_clock::now();
    run_workload(options, questions, book.get());
    if (book != nullptr) {
      fmt::print("filled: {:.0f} records/s with one source, making them included\n",
                 static_cast<double>(options.records) / milliseconds_since(began) * 1e3);
    }
  }
  drop_page_cache(options.folder);
  for (const std::string_view how : {"cold", "warm"}) {
    const auto began = std::chrono::steady_clock::now();
    const auto book = open_book(options);
    fmt::print("open, {}: {:.0f} ms, {} records\n", how, milliseconds_since(began), book->view().size());
  }
  const auto book = open_book(options);
  Coverage coverage;
  auto began = std::chrono::steady_clock::now();
  PB_CHECK(coverage.refresh(book->view()).has_value());
  fmt::print("coverage, first time: {:.1f} ms\n", milliseconds_since(began));
  began = std::chrono::steady_clock::now();
  const size_t unsealed = wait_for_runs(*book);
  fmt::print("every sealed block in an index run after {:.0f} ms, {} blocks are not sealed\n", milliseconds_since(began), unsealed);
  const View view = book->view();
  print_sizes(options.folder);
  fmt::print(
      "| question | | n | found | p50 ms | p99 ms | max ms | CPU p50 ms | CPU p99 ms |\n|---|---|---|---|---|---|---|---|---|\n");
  const TimeNs now = questions.newest() + 3600 * kNsPerSecond;
  for (const Sample* sample : questions.all()) {
    measure(sample->name(), sample->kept(), options, [&](const Question& question) {
      WhoQuestion asked;
      asked.endpoint = question.endpoint;
      asked.at = question.at;
      const auto answer = who(view, coverage, asked, now);
      PB_CHECK(answer.has_value());
      return !answer->candidates.empty() && answer->candidates.front().verdict == Candidate::Verdict::kMatches;
    });
  }
  measure("first 100 records of an endpoint, any time", questions.client().kept(), options, [&](const Question& question) {
    auto filter = parse_filter(fmt::format("records:all {}", to_text(question.endpoint)), now);
    PB_CHECK(filter.has_value());
    Search search(view, std::move(*filter), std::nullopt);
    size_t rows = 0;
    while (rows < kFirstRows) {
      const auto done = search.step(kFirstRows - rows, std::chrono::seconds(1), [&](const Row&) { ++rows; });
      PB_CHECK(done.has_value());
      if (*done) break;
    }
    return rows > 0;
  });
  fmt::print("anonymous memory: {} MiB\n", anonymous_kib() / 1024);
  return 0;
}

std::optional<Options> read_options(std::span<char*> arguments) {
  Options options;
  const auto read = [](std::string_view text, auto& number) {
    return std::from_chars(text.data(), text.data() + text.size(), number).ptr == text.data() + text.size();
  };
  if (arguments.size() < 3 || !read(arguments[1], options.records)) return std::nullopt;
  options.folder = arguments[2];
  for (size_t i = 3; i < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    if (i + 1 == arguments.size()) return std::nullopt;
    const bool known = name == "--questions" ? read(arguments[i + 1], options.questions)
                       : name == "--seed"    ? read(arguments[i + 1], options.seed)
                                             : name == "--only";
    if (!known) return std::nullopt;
    if (name == "--only") options.only = arguments[i + 1];
  }
  return options;
}

}  // namespace
}  // namespace portbook

int main(int argc, char** argv) {
  const auto options = portbook::read_options(std::span(argv, static_cast<size_t>(argc)));
  if (!options) {
    fmt::print(stderr, "who_bench RECORDS FOLDER [--questions N] [--seed N] [--only KIND]\n");
    return 2;
  }
  return portbook::run(*options);
}
