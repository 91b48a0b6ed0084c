// scene_book RECORDS FOLDER HOST: makes a book from the records in a file, one as JSON on each line, in their order. Consecutive
// records of one source are one batch, so the same lines have the same record numbers in every such book.
#include <fmt/format.h>

#include <fstream>
#include <map>
#include <optional>

#include "book/book.h"
#include "record/json.h"

namespace {

using namespace portbook;  // NOLINT: a small program of its own

int failed(const std::string& why) {
  fmt::print(stderr, "scene_book: {}\n", why);
  return 1;
}

int make(const char* records, const std::filesystem::path& folder, const std::string& host) {
  std::ifstream lines(records);
  if (!lines) return failed(std::string("cannot read ") + records);
  const auto book =
      Book::open({.folder = folder, .origin = "portbook/" + host, .host = host, .reserve_bytes = 1 << 20}, system_clock());
  if (!book) return failed(book.error().message);
  std::map<std::string, BatchBuilder> builders;
  std::string line;
  std::string source;  // whose records wait
  const auto append_waiting = [&]() -> Status {
    if (source.empty()) return {};
    const auto receipt = (*book)->append(builders.at(source).take());
    if (!receipt) return std::unexpected(receipt.error());
    return {};
  };
  while (std::getline(lines, line)) {
    if (line.empty() || line.front() != '{') continue;
    Record record;
    if (const Status read = from_json(line, record); !read) return failed(read.error().message + " in " + line);
    const std::string name(record.text_or(Field::kSource, ""));
    if (name != source) {
      if (const Status done = append_waiting(); !done) return failed(done.error().message);
      source = name;
    }
    builders.try_emplace(name, name, 1).first->second.add(record);
  }
  if (const Status done = append_waiting(); !done) return failed(done.error().message);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return argc == 4 ? make(argv[1], argv[2], argv[3]) : failed("usage: scene_book RECORDS FOLDER HOST");
}
