// POST /api/v1/records: records that a program writes itself, taken in whole requests and answered once they are durable.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "book/book.h"
#include "server/credentials.h"
#include "server/http.h"

namespace portbook {

inline constexpr std::string_view kRecordsPath = "/api/v1/records";
inline constexpr size_t kRecordsBodyBytesMax = 4 * 1024 * 1024;         // of one request
inline constexpr uint32_t kRecordsOfRequestMax = 10'000;                // likewise
inline constexpr size_t kRecordsWaitingBytesMax = 8 * 1024 * 1024;      // of one credential's requests that are not answered
inline constexpr size_t kRecordsAllWaitingBytesMax = 64 * 1024 * 1024;  // of all
inline constexpr size_t kRecordsSourceBytesMax = 100;                   // of the name that the sender gives

// What a credential's program may write: HOST/api/NAME, statements of its own host, of vantages that nobody need vouch for and of
// those of kernels that the credential names; nothing that could make an answer look complete.
Allowance records_allowance(const Credential& credential);

// Thread-safe. Book and credentials must outlive it; a batch under way may outlive it.
class RecordsIntake {
 public:
  RecordsIntake(Book& book, const Credentials& credentials);

  // Before a body is read: whether it may come. Any other path gets the limit that it always has.
  [[nodiscard]] BodyPass admit(const HttpRequest& head, std::optional<uint64_t> bytes);
  // Never waits for the book: says `ask_again` until the records are durable, hashed, signed and searchable, or will not be.
  HttpResponse answer(const HttpRequest& request);

 private:
  struct Shared;
  struct Waiting;
  [[nodiscard]] std::optional<Credential> credential_of(const HttpRequest& request) const;
  HttpResponse submit(const HttpRequest& request, const Credential& credential, const std::shared_ptr<Waiting>& waiting);

  Book& book_;
  const Credentials& credentials_;
  const std::shared_ptr<Shared> shared_;  // shared: with batches under way
};

}  // namespace portbook
