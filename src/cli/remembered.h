// What this user's command line remembers of the books that it asked: the newest checkpoint of each key, and whose key answered at
// each URL. A server that answers from a rewritten book cannot extend what it signed before. docs/formats/remembered.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "merkle/checkpoint.h"

namespace portbook {

// GET of a path of the book's API, such as "/api/v1/consistency?from=7": the whole body.
using AskBook = std::function<Result<std::string>(const std::string& target)>;

// What came of holding a book against what is remembered of it.
struct Held {
  enum Verdict : uint8_t {
    kSame,           // it extends what its key signed before, or is seen for the first time
    kRewritten,      // it does not, or another key answers at that URL
    kNotRemembered,  // nothing could be read or written here, so that it is not compared, or not the next time
  };
  Verdict verdict = kSame;
  std::string why;  // one sentence without its dot; empty when it is the same
};

class RememberedBooks {
 public:
  // `folder` is made when something is first written into it, mode 0700.
  explicit RememberedBooks(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Asks the book for its key and a checkpoint that extends the one remembered of that key, checks both and remembers the newer.
  // `url`: where it answers. Empty: a folder of this machine, which has its key beside it, so that only the checkpoint counts.
  // When it is rewritten, `why` names the files that have what was remembered and what contradicts it.
  // Errors: kCorrupt (what the book says of itself is not signed by its key, or a file here is not what was written); what `ask`
  // says.
  Result<Held> check(const std::string& url, const AskBook& ask) const;

  // Whether `checkpoint`, which `key` signed, belongs to the same log as what check() has accepted. Errors: as check().
  Result<Held> extends(const Verifier& key, const std::string& checkpoint, const AskBook& ask) const;

  [[nodiscard]] std::filesystem::path file_of_key(const std::string& vkey) const;
  [[nodiscard]] std::filesystem::path file_of_url(const std::string& url) const;

 private:
  Result<Held> held_at(const std::string& url, const std::string& vkey, bool& known) const;
  [[nodiscard]] Held contradiction(const std::string& vkey, const std::string& newest, std::string_view why) const;

  std::filesystem::path folder_;
};

// $XDG_STATE_HOME/portbook-remembered, else below ~/.local/state; nothing when neither is known.
std::optional<std::filesystem::path> remembered_folder();

}  // namespace portbook
