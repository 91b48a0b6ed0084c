// Who may read a book from another machine: each reader's name and the hash of its token. docs/formats/readers.md.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/result.h"

namespace portbook {

inline constexpr std::string_view kReadersFile = "readers";
inline constexpr size_t kReadersMax = 1000;

struct Reader {
  std::string name;
  Hash token_hash{};
  TimeNs added = 0;
  std::optional<TimeNs> expires;  // absent: never
};

// The file's bytes, and back. Errors: kCorrupt, naming the line; kNewer.
std::string readers_text(const std::vector<Reader>& readers);
Result<std::vector<Reader>> parse_readers(std::string_view text);

// The file `readers` in a book's folder. Thread-safe; one object per folder at a time (the book's lock sees to that).
class Readers {
 public:
  // Errors: kIo, kDenied, kCorrupt, kNewer.
  static Result<std::unique_ptr<Readers>> load(std::filesystem::path folder);

  // Who has the token with that hash, unless it has expired by `now`. Compares in constant time.
  [[nodiscard]] std::optional<Reader> find(const Hash& token_hash, TimeNs now) const;
  // Durable on return. Errors: kBadInput (not a name, taken already), kLimit, kIo.
  Status add(Reader reader);
  // Errors: kNotFound, kIo.
  Status remove(std::string_view name);
  [[nodiscard]] std::vector<Reader> list() const;

 private:
  explicit Readers(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Status store(std::vector<Reader> readers);

  const std::filesystem::path folder_;
  mutable std::mutex mutex_;
  std::vector<Reader> readers_;  // guarded by mutex_
};

}  // namespace portbook
