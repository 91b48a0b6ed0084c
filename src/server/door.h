// Who is let in from another machine: tokens, the sessions of browsers that showed one, and the keeping of both.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/api.h"
#include "server/readers.h"
#include "server/records_intake.h"

namespace portbook {

inline constexpr uint64_t kSessionNs = 12 * 3600 * kNsPerSecond;  // since the login
inline constexpr size_t kSessionsMax = 1000;                      // beyond it the one that ends first is ended

// What the door answers itself, with the query parameters that it takes; others are refused.
struct DoorRoute {
  std::string_view path;
  std::span<const std::string_view> params;
};
std::span<const DoorRoute> door_routes();

// Thread-safe.
class Door {
 public:
  // All must outlive it.
  Door(Api& api, Readers& readers, RecordsIntake& intake, Clock& clock)
      : api_(api), readers_(readers), intake_(intake), clock_(clock) {}

  // Answers /login, /logout and /api/v1/tokens; hands /api/v1/records, which has tokens of its own, to the intake; hands what comes
  // from this machine, or with a token or session, to the API, and refuses the rest. A stream ends within about a second of its
  // token's end.
  HttpResponse answer(const HttpRequest& request);

 private:
  struct Session {
    Hash token_hash{};
    TimeNs ends = 0;
  };
  class Guarded;

  HttpResponse log_in(const HttpRequest& request);
  HttpResponse log_out(const HttpRequest& request);
  HttpResponse tokens(const HttpRequest& request);
  Result<std::string> add_token(const HttpRequest& request);
  Result<std::string> remove_token(const HttpRequest& request);
  // The hash of the token that the request shows, itself or by its session.
  [[nodiscard]] std::optional<Hash> shown(const HttpRequest& request);

  Api& api_;
  Readers& readers_;
  RecordsIntake& intake_;
  Clock& clock_;
  std::mutex mutex_;
  std::map<Hash, Session> sessions_;  // by the hash of the cookie's value; guarded by mutex_
};

}  // namespace portbook
