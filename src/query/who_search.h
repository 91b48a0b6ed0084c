// One `who` under way: what its parts (finding, candidates, listeners, hops, completeness) share. Internal to the question.
#pragma once

#include <map>
#include <set>

#include "query/who.h"

namespace portbook {

inline constexpr size_t kWhoBlocksMax = 256;               // looked into for one endpoint
inline constexpr size_t kBusyRowsMin = 16;                 // of one endpoint in one block; more are looked at through the peer
inline constexpr uint64_t kHeardLateMaxNs = kNsPerSecond;  // how long before it is heard of a lease may have begun
inline constexpr size_t kLeasesMax = 64;                   // leases, and sockets of one lease, followed in one answer

// What the rows that name an endpoint say about one connection or lease, by its conn.
struct Sighting {
  Id128 conn{};
  bool lease = false;
  TimeNs start = 0;         // 0 where unknown
  TimeNs end = UINT64_MAX;  // UINT64_MAX while none is known
  bool start_known = false;
  bool settled = false;  // all records of its conn were looked at
  TimeNs last_seen = 0;
  uint64_t index = 0;               // of the newest row
  uint64_t end_index = UINT64_MAX;  // of the oldest row that says an end: that one counts
  bool at_peer = false;             // the peer that was asked for is named, or none was asked for
  bool at_host = false;             // likewise the host; a lease's may be another than its socket's
  bool counted = false;             // among `covering`
  [[nodiscard]] bool is_wanted() const { return at_peer && at_host; }
  [[nodiscard]] uint64_t distance(TimeNs low, TimeNs high) const {
    if (start > high) return start - high;
    if (end < low) return low - end;
    return 0;
  }
};

// What was seen of one endpoint's connections and leases.
struct Sightings {
  std::vector<Sighting> all;
  std::map<Id128, size_t> by_conn;
  std::set<size_t> blocks;               // looked into
  size_t looked_at = 0;                  // records
  bool asked = false;                    // of the asked endpoint: what narrows the question narrows the look, and enough is enough
  std::vector<size_t> touched;           // places of `all` that the block looked into last tells of
  size_t covering = 0;                   // wanted connections that were there all through the moment, for certain
  bool leases = false;                   // a lease was among them
  TimeNs lease_without_id = UINT64_MAX;  // first moment that a record of a lease without conn tells of
  std::vector<View::KeyBlock> named;     // all blocks that may name the endpoint
};

// One thread; used once. Everything that is passed in must outlive it.
class WhoSearch {
 public:
  WhoSearch(const View& view, const Coverage& coverage, const WhoQuestion& question, TimeNs now, WhoAnswer& answer)
      : joins_(view), coverage_(coverage), question_(question), now_(now), answer_(answer) {}

  // Fills candidates, window and completeness of the answer. Errors: kIo, kCorrupt.
  Status run();

 private:
  // Finding: rows, leases, sockets (who.cc).
  void choose_window();
  Status sight(const Endpoint& endpoint, TimeNs from, TimeNs to, Sightings& sightings);
  void nearest_first(std::vector<View::KeyBlock>& blocks, TimeNs moment);
  Status rows_to_look_at(const View::KeyBlock& block, const Endpoint& endpoint, bool asked, std::vector<uint32_t>& rows) const;
  void count_covering(Sightings& sightings);
  Status look_into(const View::KeyBlock& block, const Endpoint& endpoint, Sightings& sightings);
  void settle(size_t place, Sightings& sightings);
  void note(uint64_t index, const Record& record, Sightings& sightings) const;
  [[nodiscard]] uint64_t slack_ns() const;  // what may lie between the moment and a sighting that covers it
  Status add_sighted();
  [[nodiscard]] bool names_leases(const Sightings& sightings) const;
  void add(const Sighting& one, size_t& leases);
  void add_leases_without_id(const Sightings& sightings, size_t& leases);
  Status add_nearest(Sightings& sightings, size_t& leases);
  void add_lease(const Lease& lease);
  void add_published(const Lease& lease);
  enum class LeaseEnd : uint8_t { kInitiator, kServer };
  struct Fitting {
    Id128 conn;
    bool same_host;
    bool same_netns;
    bool covers;
  };
  std::vector<Fitting> fitting_sockets(const Lease& lease, LeaseEnd end);
  std::vector<Id128> sockets_of(const Lease& lease, LeaseEnd end);
  // Whether the address is one of the lease's own host: then the lease speaks of that host's sockets alone.
  [[nodiscard]] bool has_address(const Lease& lease, const Ip& ip) const;
  void rule_out();
  void drop_distant();
  void order();

  // Candidates (who_candidate.cc).
  void place(Candidate& candidate, TimeNs start, TimeNs end) const;
  void add_lease_alone(const Lease& lease, LeaseEnd end);
  [[nodiscard]] bool holds(const Lease& lease) const;
  bool make_room(const Id128& conn, const std::optional<Lease>& lease);
  void add_socket(const Id128& conn, const std::optional<Lease>& lease);
  void read_ends(const Record& main, const std::optional<Lease>& lease, Candidate& candidate);
  TimeNs unknown_end(TimeNs last_seen, const Gap& gap, Candidate& candidate) const;
  void settle_interval(const Record& main, const std::vector<Indexed>& records, Candidate& candidate);
  struct Held {
    TimeNs from = 0;
    TimeNs to = UINT64_MAX;
  };
  std::optional<Held> held_by_lease(const Candidate& candidate, TimeNs socket_start, bool says_itself);
  void place_by_lease(Candidate& candidate, const Held& held) const;
  void add_process(const Indexed& main, Candidate& candidate);
  void set_process(const Record& owner, uint64_t index, Candidate& candidate);

  // Hops (who_hops.cc).
  void add_endpoint_hops(Candidate& candidate);
  void add_owner_hops(Candidate& candidate, uint64_t main);

  // Listeners (who_listener.cc).
  void add_listeners();
  void add_listeners_at(const Endpoint& endpoint);
  void add_listener(const Endpoint& endpoint, const Indexed& listen);
  bool listens_on_claimed_address(const Candidate& candidate) const;

  // Completeness (who_complete.cc).
  void settle_completeness();

  Joins joins_;
  const Coverage& coverage_;
  const WhoQuestion& question_;
  TimeNs now_;
  WhoAnswer& answer_;
  TimeNs low_ = 0;   // first and
  TimeNs high_ = 0;  // last nanosecond of the asked moment
  bool clock_synchronised_ = true;
  bool bounded_ = false;
  std::set<Id128> added_;
  std::set<Endpoint> published_;  // real servers behind the asked endpoint
};

}  // namespace portbook
