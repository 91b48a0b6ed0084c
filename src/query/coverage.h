// What was being captured, when, and by whom: the ground on which an answer may call itself complete.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "store/view.h"

namespace portbook {

// Known loss of one source. Without an end it still goes on.
struct Gap {
  TimeNs from = 0;
  std::optional<TimeNs> to;
  std::optional<uint64_t> count;
  std::string cause;
  std::optional<uint64_t> record;  // that says it; none for what follows from the absence of records
};

// One run of a source, from source_start to source_stop.
struct SourceRun {
  TimeNs from = 0;
  std::optional<TimeNs> to;  // absent while it runs, or when it ended without saying so
  uint64_t record = 0;
};

// From then on the clock was synchronised, or was not.
struct ClockChange {
  TimeNs from = 0;
  bool synchronised = true;
};

struct Source {
  std::string name;  // "web-7/socket"
  std::string host;
  std::string covers;
  std::string means;
  std::vector<SourceRun> runs;             // ascending
  std::vector<Gap> gaps;                   // in order of their records
  std::optional<uint64_t> clock_error_ns;  // of its newest rare record
  bool clock_synchronised = true;
  std::vector<ClockChange> clock_changes;  // ascending
  std::optional<Gap> absence;              // its agent has not delivered since then; goes when it has
  std::optional<TimeNs> told_until;        // all that it will ever tell of what happened until then is here, as its agent says

  // Whether its clock was synchronised all through [from, to], as far as its records say.
  [[nodiscard]] bool synchronised_during(TimeNs from, TimeNs to) const;
  // The moment since which it captured without a gap up to and including `to`, when that moment is not after `from`.
  [[nodiscard]] std::optional<TimeNs> whole_since(TimeNs from, TimeNs to) const;
  // The source_start of the run that was under way at that moment; of the first one for an earlier moment. There is a run.
  [[nodiscard]] uint64_t run_record(TimeNs moment) const;
  // The gaps (also those between runs) that touch [from, to]; one that never ended, or an absent run, counts.
  [[nodiscard]] std::vector<Gap> missing(TimeNs from, TimeNs to) const;
  // Whether all that it will ever tell of what happened until `to` is here; a source that stopped has told all.
  [[nodiscard]] bool has_told(TimeNs to, TimeNs now) const;
};

// An address that a host had, in one network namespace, during an interval.
struct Claim {
  Ip ip;
  std::string host;
  std::optional<uint64_t> netns;
  TimeNs from = 0;
  std::optional<TimeNs> to;
  uint64_t record = 0;
};

enum class Completeness : uint8_t { kComplete, kIncomplete, kNotCovered, kClockNotSynchronised };
std::string_view to_text(Completeness state);

// How long after it happened something may still be on its way into the book from a source whose agent does not say up to when it
// has told everything. Twice the promised time to be visible.
inline constexpr uint64_t kArrivalNs = 100 * kNsPerMs;
// What a source tells of usual traffic is here that soon: so long a question about the present waits, and an answer over a span up
// to the present does not mind.
inline constexpr uint64_t kSettleNs = 400 * kNsPerMs;

// The hosts that a question over a span is about.
struct AskedHosts {
  std::vector<std::string> hosts;
  bool translations = false;  // and whoever else tells translations
};

struct Missing {
  std::string source;
  Gap gap;
};

// Whether an answer is whole, as a state, a sentence for a person, and the gaps and sources that it rests on.
struct CompletenessAnswer {
  Completeness state = Completeness::kNotCovered;
  std::string sentence;
  bool young = false;  // nothing is missing but what may still be on its way: worth asking again
  std::vector<Missing> missing;
  struct Resting {
    std::string source;
    std::string host;
    TimeNs since = 0;
    uint64_t record = 0;  // the source_start of the run
  };
  std::vector<Resting> sources;
};

// Which hosts' agents deliver what they capture. What one that is away has spooled comes later; until then nobody knows it here.
struct Absences {
  std::map<std::string, std::optional<TimeNs>, std::less<>> agents;  // by host: since when it has not delivered; none: it does
  std::optional<TimeNs> others;                     // the same for hosts whose agent was not heard of since the book began
  std::map<std::string, TimeNs, std::less<>> told;  // by source: all that it will ever tell of what happened until then is here
};

// Follows a book's rare records (sources, gaps, addresses, clocks). Thread-safe; each question brings it up to its view first.
class Coverage {
 public:
  // Reads the rare records of `view` that were not read yet. Errors: kIo, kCorrupt.
  Status refresh(const View& view);

  // What the book says of itself: since when nothing is accepted, and why; nothing when it accepts. Moments from then on are not
  // complete, whatever the sources captured.
  void note_stall(std::optional<TimeNs> since, std::string reason);

  // Sources that capture, as their records say, but whose agent is away, have a gap from then on. Replaces what was noted before.
  void note_absences(const Absences& absences);

  // Who claimed the address at some moment of [from, to]; with `host` only that host's claims.
  [[nodiscard]] std::vector<Claim> claims(const Ip& ip, TimeNs from, TimeNs to, std::string_view host = {}) const;
  // Whether all owners of the address in [from, to] are known: somebody claims it, and every source of that host captured it whole.
  // `to` includes the clock error, which `error` is; `now` is the present: a moment that has not passed yet cannot be complete.
  [[nodiscard]] CompletenessAnswer at(const Ip& ip, TimeNs from, TimeNs to, TimeNs now, uint64_t error,
                                      std::string_view host = {}) const;
  // Whether every source captured [from, to] whole. With `from` 0 the question is about all that each source ever captured; with
  // another, the time before a source first began is missing too. `to` is not after the moment of the view that was refresh()ed.
  // With `asked` only sources of these hosts, and of none in particular, count.
  [[nodiscard]] CompletenessAnswer over(TimeNs from, TimeNs to, const std::optional<AskedHosts>& asked = std::nullopt) const;

  [[nodiscard]] std::vector<Source> sources() const;
  // Every host that a source or an address speaks of, once, in order of name.
  [[nodiscard]] std::vector<std::string> hosts() const;
  // Every address that is claimed now, once.
  [[nodiscard]] std::vector<Ip> claimed_now() const;
  // When a source of that host stopped or had a gap in (after, before], first; nothing when capture went on.
  [[nodiscard]] std::optional<Gap> break_after(std::string_view host, TimeNs after, TimeNs before) const;
  // When capture of that host's sockets next began after `after`: what was still open then was written again.
  [[nodiscard]] std::optional<TimeNs> next_run_after(std::string_view host, TimeNs after) const;

 private:
  void apply(const View& view, uint64_t index, const Record& record);
  [[nodiscard]] std::string stall_sentence() const;
  // As next_run_after(), the lock being held.
  [[nodiscard]] std::optional<TimeNs> next_run(std::string_view host, TimeNs after) const;
  // Whether the host's sockets in [from, to] are another source's subject: programs that saw all, or polling that ran instead.
  [[nodiscard]] bool stands_back(const Source& source, TimeNs from, TimeNs to) const;
  [[nodiscard]] TimeNs last_known(const View& view, uint64_t index, const Source& source) const;
  void apply_address(uint64_t index, const Record& record);
  Source& source(const Record& record);

  mutable std::mutex mutex_;
  // What a question about [from, to] lacks because records are no longer kept; of those hosts, or of all when there are none.
  void add_dropped(TimeNs from, const std::set<std::string>& hosts, std::vector<Missing>& missing) const;

  std::shared_ptr<const Dropped> dropped_;  // shared with views
  uint64_t next_index_ = 0;                 // records below were read; guarded by mutex_, as all that follows
  std::map<std::string, Source> sources_;   // by name
  std::vector<Claim> claims_;               // in order of their records
  std::optional<TimeNs> stalled_since_;
  std::string stall_reason_;
};

}  // namespace portbook
