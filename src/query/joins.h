// What other records say about a row: its process, who really accepted it, its address translation.
#pragma once

#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "store/narrow_columns.h"
#include "store/view.h"

namespace portbook {

// A record with its index in the ledger.
struct Indexed {
  uint64_t index = 0;
  Record record;
};

// The two ends of a connection as its initiator sees them.
struct ConnectionTuple {
  Endpoint src;
  Endpoint dst;
  uint64_t proto = 0;  // 0 where unknown
};
std::optional<ConnectionTuple> tuple_of(const Record& record);

// A NAT lease: one translation's interval, from nat_open, nat_close and existing records with one conn.
struct Lease {
  Id128 conn{};
  Endpoint internal;
  Endpoint asked_for;                // destination before translation
  std::optional<Endpoint> external;  // absent where only the destination was translated
  std::optional<Endpoint> server;    // real destination, where it was translated
  std::optional<TimeNs> start;       // absent for a lease that was there before capture, or whose start is told at its end
  TimeNs seen = 0;                   // when it is first known to have been there
  std::optional<TimeNs> end;
  std::optional<uint64_t> clock_error_ns;
  std::string host;
  std::optional<uint64_t> netns;
  std::vector<uint64_t> records;  // ascending
};

// Looks things up in one view and remembers them for the length of one question. One thread. Lookups that fail for want of a
// readable block keep the first error in status() and find nothing.
class Joins {
 public:
  static constexpr size_t kRemembered = 4096;            // processes, acceptors and leases each
  static constexpr size_t kConnRecordsMax = 256;         // records read for one connection
  static constexpr size_t kAddressRecordsMax = 4096;     // of one address, newest first
  static constexpr size_t kLooseRecordsMax = 4096;       // of leases without conn, for one endpoint
  static constexpr size_t kConnectionsRemembered = 512;  // or up to twice as many; their records
  // So many look-ups of one kind are done singly, or one more for so many rows; then something is read of all blocks instead.
  static constexpr size_t kSinglyMin = 16;
  static constexpr size_t kRowsPerSingly = 32'768;
  static constexpr size_t kLeaseKeysMax = 2'000'000;  // remembered at once
  static constexpr size_t kVersionsKept = 16;         // of a process, one for each exec; older ones are looked up each time

  explicit Joins(View view) : view_(std::move(view)) {}

  [[nodiscard]] size_t singly_max() const { return std::max<size_t>(kSinglyMin, view_.size() / kRowsPerSingly); }
  [[nodiscard]] const View& view() const { return view_; }
  [[nodiscard]] const Status& status() const { return status_; }

  // The process record: the newest below index `before`, else the oldest. Null when there is none; valid until the next call.
  const Indexed* process(const ProcessId& id, uint64_t before);
  // All records of the process, newest first: process() gives one of them, whatever the row. Null where there may be more than
  // kVersionsKept; valid until the next call.
  const std::vector<Indexed>* all_of_process(const ProcessId& id);
  // The used_by record of the process that accepted the connection; null when there is none; valid until the next call.
  const Indexed* acceptor(const Id128& conn);
  // Every record of the connection, newest first, at most kConnRecordsMax. Valid until kConnectionsRemembered others
  // were asked for.
  const std::vector<Indexed>& records_of(const Id128& conn);
  // Leases of that tuple which overlap [from, to], oldest first; those of `host`, where the tuple's source is, before all others.
  // Not those of other hosts that had that address themselves: many have the same private ones.
  std::vector<Lease> leases(const ConnectionTuple& tuple, std::string_view host, TimeNs from, TimeNs to);
  // False only if the view has no lease of a connection from there.
  bool may_have_leases(const Endpoint& src);
  // The first of them that changed an end of the connection whose main record is `main`.
  std::optional<Lease> translation_of(const Record& main);
  // Leases without conn that name the endpoint and have a record that tells of `from` or later: those of the newest
  // kLooseRecordsMax such records.
  std::vector<Lease> leases_without_id(const Endpoint& endpoint, TimeNs from);
  // True iff a record of the connection makes another one the row that people see (see search.h).
  bool superseded(const Id128& conn, Kind kind, uint64_t index);

 private:
  struct Claim {
    std::string host;
    std::optional<uint64_t> netns;
    TimeNs from = 0;
    TimeNs to = UINT64_MAX;
  };
  // Its records, newest first, at most kVersionsKept; valid until the next call.
  const std::vector<Indexed>& versions_of(const ProcessId& id);
  void note(const Status& status);
  bool has_address(const Ip& ip, std::string_view host, TimeNs from, TimeNs to);
  std::vector<Claim> read_claims(const Ip& ip);
  std::vector<Indexed> read_process(const ProcessId& id, uint64_t before, size_t maximum);

  View view_;
  Status status_;
  std::unordered_map<RowKey, std::vector<Indexed>> processes_;  // newest first, at most kVersionsKept
  std::optional<Indexed> older_version_;
  std::unordered_map<RowKey, std::optional<Indexed>> acceptors_;
  // What was asked for last, and before that: whoever is asked for again comes to the newer ones.
  std::map<Id128, std::vector<Indexed>> connections_;
  std::map<Id128, std::vector<Indexed>> older_connections_;
  std::map<Ip, std::vector<Claim>> claims_;
  size_t lease_misses_ = 0;                        // look-ups without a lease
  std::optional<std::vector<RowKey>> lease_keys_;  // sorted; of all source endpoints of leases, once there were many of those
  bool too_many_leases_ = false;                   // for lease_keys_
};

// Builds a lease from the records of one lease's conn; nothing when they name no internal endpoint.
std::optional<Lease> lease_of(const std::vector<Indexed>& records);
// Builds leases from records of leases without conn: an end belongs to the newest begin before it with the same host, ends and
// translation.
std::vector<Lease> leases_without_id(std::vector<Indexed> records);
// When a record of a lease says that it was there: for an end the end, else the start where it is told, else its time.
TimeNs time_of_lease_record(const Record& record);
// True iff the record tells of a lease.
bool is_lease(const Record& record);

}  // namespace portbook
