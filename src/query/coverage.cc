#include "query/coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "query/moment.h"

namespace portbook {

namespace {

constexpr auto kRareKinds = std::to_array<Kind>({Kind::kAddress, Kind::kGap, Kind::kSourceStart, Kind::kSourceStop, Kind::kClock});

// A source that starts again within this time after a gap's end is the snapshot that ended it.
constexpr uint64_t kSnapshotNs = 5 * kNsPerSecond;

// What a source killed without warning may still have held back before the newest record that it sent, where the agent that began
// anew did not know up to when that had told everything: capture waits 200 ms for a translation.
constexpr uint64_t kHeldBackNs = 300 * kNsPerMs;

constexpr std::string_view kNotBegun = "capture had not begun";

bool touches(TimeNs from, const std::optional<TimeNs>& to, TimeNs low, TimeNs high) {
  return from <= high && (!to || *to > low);
}

// The address sources' own gaps say nothing about sockets and leases; all others of a host must be whole.
bool captures_owners(const Source& source) {
  return !source.name.ends_with("/address") && !source.runs.empty();
}

// What sees the sockets of a host: kernel programs, or polling where there are none. Never both at a time.
bool sees_sockets(const Source& source) {
  return source.name.ends_with("/socket") || source.name.ends_with("/polling");
}

bool polls(const Source& source) {
  return source.name.ends_with("/polling");
}

bool runs_at(const Source& source, TimeNs moment) {
  return source.runs.empty() || std::ranges::any_of(source.runs, [&](const SourceRun& run) {
           return run.from <= moment && (!run.to || *run.to >= moment);
         });
}

bool is_about(const AskedHosts& asked, const Source& source) {
  if (source.host.empty() || std::ranges::find(asked.hosts, source.host) != asked.hosts.end()) return true;
  return asked.translations && captures_owners(source) && !sees_sockets(source);
}

std::string join_names(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " and " : ", ";
    out += names[i];
  }
  return out;
}

std::string late_sentence(const Source& source) {
  if (!source.told_until) return "Incomplete. This moment is so young that what the kernel saw may still be on its way; ask again.";
  return fmt::format("Incomplete. {} has told everything up to {}; what it saw since is still on its way; ask again.", source.name,
                     moment_text(*source.told_until));
}

std::string gap_sentence(const Missing& missing) {
  const std::string count = missing.gap.count ? fmt::format(" ({} lost)", *missing.gap.count) : std::string();
  const auto from = missing.gap.from == 0 ? std::nullopt : std::optional(missing.gap.from);
  return fmt::format("{} has a gap, {}{}: {}", missing.source,
                     interval_text(from, missing.gap.to, "from the beginning", "not ended yet"), count, missing.gap.cause);
}

}  // namespace

std::string_view to_text(Completeness state) {
  switch (state) {
    case Completeness::kComplete: return "complete";
    case Completeness::kIncomplete: return "incomplete";
    case Completeness::kNotCovered: return "not_covered";
    case Completeness::kClockNotSynchronised: return "clock_not_synchronised";
  }
  return "incomplete";
}

std::vector<Gap> Source::missing(TimeNs from, TimeNs to) const {
  std::vector<Gap> found;
  for (const Gap& gap : gaps) {
    if (touches(gap.from, gap.to, from, to)) found.push_back(gap);
  }
  if (absence && touches(absence->from, absence->to, from, to)) found.push_back(*absence);
  // A gap that reaches from before the stop to the next run says the same. One that was over before the stop does not.
  const auto said_by_gap = [&](TimeNs stop, const std::optional<TimeNs>& next) {
    return std::ranges::any_of(gaps, [&](const Gap& gap) {
      return gap.from <= stop && (!gap.to || (*gap.to > stop && next && *gap.to + kSnapshotNs >= *next));
    });
  };
  const auto follows_gap = [&](TimeNs start) {
    return std::ranges::any_of(gaps,
                               [&](const Gap& gap) { return gap.from <= start && (!gap.to || *gap.to + kSnapshotNs >= start); });
  };
  if (runs.empty() || from < runs.front().from) {
    const std::optional<TimeNs> end = runs.empty() ? std::nullopt : std::optional(runs.front().from);
    found.push_back({0, end, {}, std::string(kNotBegun), runs.empty() ? std::nullopt : std::optional(runs.front().record)});
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    const bool last = i + 1 == runs.size();
    const std::optional<TimeNs> next = last ? std::nullopt : std::optional(runs[i + 1].from);
    if (runs[i].to) {
      if (touches(*runs[i].to, next, from, to) && !said_by_gap(*runs[i].to, next)) {
        found.push_back({*runs[i].to, next, {}, "capture was stopped", runs[i].record});
      }
    } else if (!last && !follows_gap(*next) && touches(runs[i].from, next, from, to)) {
      // It ended without a word and nothing says when: no moment of that run is known to be whole.
      found.push_back({runs[i].from, next, {}, "capture ended without saying when", runs[i].record});
    }
  }
  std::ranges::sort(found, {}, &Gap::from);
  return found;
}

bool Source::has_told(TimeNs to, TimeNs now) const {
  if (runs.empty() || runs.back().to) return true;
  return told_until ? to <= *told_until : to + kArrivalNs <= now;
}

bool Source::synchronised_during(TimeNs from, TimeNs to) const {
  for (size_t i = 0; i < clock_changes.size(); ++i) {
    const bool begins = i == 0 || clock_changes[i].from <= to;  // before the first word about it, it was as that says
    const bool ended = i + 1 < clock_changes.size() && clock_changes[i + 1].from <= from;
    if (begins && !ended && !clock_changes[i].synchronised) return false;
  }
  return true;
}

std::optional<TimeNs> Source::whole_since(TimeNs from, TimeNs to) const {
  if (!missing(from, to).empty()) return std::nullopt;
  TimeNs since = 0;
  for (const SourceRun& run : runs) {
    if (run.from <= from) since = std::max(since, run.from);
  }
  for (const Gap& gap : gaps) {
    if (gap.to && *gap.to <= from) since = std::max(since, *gap.to);
  }
  return since;
}

uint64_t Source::run_record(TimeNs moment) const {
  uint64_t record = runs.front().record;
  for (const SourceRun& run : runs) {
    if (run.from <= moment) record = run.record;
  }
  return record;
}

Source& Coverage::source(const Record& record) {
  const std::string name(record.text_or(Field::kAbout, record.text_or(Field::kSource, "")));
  Source& found = sources_[name];
  if (found.name.empty()) found.name = name;
  if (found.host.empty()) found.host = record.text_or(Field::kHost, std::string_view(name).substr(0, name.find('/')));
  return found;
}

void Coverage::apply_address(uint64_t index, const Record& record) {
  if (!record.has(Field::kAddress)) return;
  const std::string host(record.text_or(Field::kHost, ""));
  const std::optional<uint64_t> netns = record.has(Field::kNetns) ? std::optional(record.uint(Field::kNetns)) : std::nullopt;
  const auto open = std::ranges::find_if(claims_, [&](const Claim& claim) {
    return !claim.to && claim.ip == record.ip(Field::kAddress) && claim.host == host && claim.netns == netns;
  });
  const bool up = record.uint_or(Field::kState, 0) == static_cast<uint64_t>(AddressState::kUp);
  if (up && open == claims_.end()) claims_.push_back({record.ip(Field::kAddress), host, netns, record.time(), std::nullopt, index});
  if (!up && open != claims_.end()) open->to = record.time();
}

// A gap whose beginning nobody saw: it begins where the source stopped, else shortly before the last record that this host's
// capture wrote before (its sources live and die together).
TimeNs Coverage::last_known(const View& view, uint64_t index, const Source& source) const {
  constexpr uint64_t kLookBackMax = 4096;
  if (source.runs.empty()) return 0;
  if (source.runs.back().to) return *source.runs.back().to;
  // Other sources of the host may have begun anew already: what they wrote since says nothing about the run that ended.
  for (const auto& [name, other] : sources_) {
    if (other.host == source.host && other.runs.size() > source.runs.size())
      index = std::min(index, other.runs[source.runs.size()].record);
  }
  Record record;
  for (uint64_t back = 1; back <= std::min(kLookBackMax, index - view.first_index()); ++back) {
    if (!view.read(index - back, record)) break;
    const std::string_view writer = record.text_or(Field::kSource, "");
    const bool captured =
        writer.starts_with(source.host + "/") && record.uint_or(Field::kVantage, 0) != static_cast<uint64_t>(Vantage::kBook);
    if ((writer == source.name || captured) && record.has(Field::kTime))
      return std::max(record.time() - std::min(record.time(), kHeldBackNs), source.runs.back().from);
  }
  return source.runs.back().from;
}

void Coverage::apply(const View& view, uint64_t index, const Record& record) {
  if (!record.has(Field::kTime)) return;
  if (record.kind() == Kind::kAddress) {
    apply_address(index, record);
    return;
  }
  Source& one = source(record);
  if (record.has(Field::kClockError)) one.clock_error_ns = record.uint(Field::kClockError);
  if (record.has(Field::kClockState)) {
    one.clock_synchronised = record.uint(Field::kClockState) == static_cast<uint64_t>(ClockState::kSynchronised);
    if (!one.clock_synchronised) one.clock_error_ns.reset();
    if (one.clock_changes.empty() || one.clock_changes.back().synchronised != one.clock_synchronised)
      one.clock_changes.push_back({record.time(), one.clock_synchronised});
  }
  switch (record.kind()) {
    case Kind::kSourceStart:
      one.covers = record.text_or(Field::kCovers, one.covers);
      one.means = record.text_or(Field::kMeans, one.means);
      one.runs.push_back({record.uint_or(Field::kStart, record.time()), std::nullopt, index});
      // A gap that had not ended did so with its run: the new one says for itself what it lacks.
      for (Gap& gap : one.gaps) {
        if (!gap.to) gap.to = std::max(gap.from, one.runs.back().from);
      }
      // Addresses that went away while nobody looked do not come back in the new snapshot.
      if (one.name.ends_with("/address")) {
        for (Claim& claim : claims_) {
          if (!claim.to && claim.host == one.host && claim.from < record.time()) claim.to = record.time();
        }
      }
      break;
    case Kind::kSourceStop:
      if (!one.runs.empty()) one.runs.back().to = record.uint_or(Field::kEnd, record.time());
      break;
    case Kind::kGap: {
      Gap gap;
      gap.from = record.has(Field::kStart) ? record.uint(Field::kStart) : last_known(view, index, one);
      if (record.has(Field::kEnd)) gap.to = record.uint(Field::kEnd);
      if (record.has(Field::kCount)) gap.count = record.uint(Field::kCount);
      gap.cause = record.text_or(Field::kCause, "the cause is not known");
      gap.record = index;
      // The same loss told again once its end is known.
      const auto same = std::ranges::find_if(
          one.gaps, [&](const Gap& known) { return known.from == gap.from && !known.to && known.cause == gap.cause; });
      if (same != one.gaps.end()) {
        *same = std::move(gap);
      } else {
        one.gaps.push_back(std::move(gap));
      }
      break;
    }
    default: break;
  }
}

Status Coverage::refresh(const View& view) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Source> said;
  // What was open when its beginning was dropped is in no record any more: only a snapshot that is still here covers from then on.
  if (view.dropped() && (!dropped_ || dropped_->below < view.dropped()->below)) {
    dropped_ = view.dropped();
    said = std::move(sources_);
    sources_.clear();
    claims_.clear();
    next_index_ = 0;
  }
  if (view.size() <= next_index_) return {};
  std::vector<std::pair<uint64_t, Record>> found;
  for (const Kind kind : kRareKinds) {
    const auto status = view.for_each_with(kind_key(kind),
                                           [&](uint64_t index, const Record& record) {
                                             if (record.kind() == kind) found.emplace_back(index, record);
                                             return true;
                                           },
                                           {.index_from = next_index_});
    if (!status) return status;
  }
  std::ranges::sort(found, {}, [](const auto& one) { return one.first; });
  for (const auto& [index, record] : found) apply(view, index, record);
  for (const auto& [name, before] : said) {  // what its agent last said holds all the same
    const auto again = sources_.find(name);
    if (again == sources_.end()) continue;
    again->second.absence = before.absence;
    again->second.told_until = before.told_until;
  }
  next_index_ = view.size();
  return {};
}

std::vector<Claim> Coverage::claims(const Ip& ip, TimeNs from, TimeNs to, std::string_view host) const {
  const std::lock_guard lock(mutex_);
  std::vector<Claim> found;
  for (const Claim& claim : claims_) {
    // Every address of 127.0.0.0/8 is a host's own as soon as it has one of them.
    const bool same = claim.ip == ip || (claim.ip.is_loopback() && ip.is_loopback() && claim.ip.is_v4() == ip.is_v4());
    if (same && touches(claim.from, claim.to, from, to) && (host.empty() || claim.host == host)) found.push_back(claim);
  }
  return found;
}

void Coverage::note_stall(std::optional<TimeNs> since, std::string reason) {
  const std::lock_guard lock(mutex_);
  stalled_since_ = since;
  stall_reason_ = std::move(reason);
}

void Coverage::note_absences(const Absences& absences) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, source] : sources_) {
    const auto agent = absences.agents.find(source.host);
    const auto since = agent == absences.agents.end() ? absences.others : agent->second;
    const bool runs = !source.runs.empty() && !source.runs.back().to;
    const auto told = absences.told.find(name);
    source.told_until = told == absences.told.end() ? std::nullopt : std::optional(told->second);
    source.absence.reset();
    if (since && runs)
      source.absence = Gap{source.told_until.value_or(*since),
                           std::nullopt,
                           {},
                           "its agent is away, or has not delivered yet what it kept",
                           std::nullopt};
  }
}

std::string Coverage::stall_sentence() const {
  return fmt::format("Incomplete. Nothing has been written to the book since {}: {}.", moment_text(*stalled_since_), stall_reason_);
}

bool Coverage::stands_back(const Source& source, TimeNs from, TimeNs to) const {
  if (!sees_sockets(source)) return false;
  return std::ranges::any_of(sources_, [&](const auto& entry) {
    const Source& other = entry.second;
    if (other.host != source.host || !sees_sockets(other) || polls(other) == polls(source)) return false;
    return polls(source) ? other.whole_since(from, to).has_value()
                         : runs_at(other, from) && !runs_at(source, from) && !source.whole_since(from, to);
  });
}

void Coverage::add_dropped(TimeNs from, const std::set<std::string>& hosts, std::vector<Missing>& missing) const {
  if (!dropped_) return;
  if (from <= dropped_->until)
    missing.push_back({"The book", {0, dropped_->until, {}, "records up to then are no longer kept", std::nullopt}});
  for (const std::string& name : dropped_->sources) {
    Source gone;
    gone.name = name;
    gone.host = name.substr(0, name.find('/'));
    const bool tells = sees_sockets(gone) || name.ends_with("/nat");
    if (!tells || (!hosts.empty() && !hosts.contains(gone.host))) continue;
    // Of programs and polling, which take turns, the one that ran last has written its beginning.
    const bool begun = std::ranges::any_of(sources_, [&](const auto& entry) {
      const Source& other = entry.second;
      return !other.runs.empty() && (other.name == name || (sees_sockets(gone) && sees_sockets(other) && other.host == gone.host));
    });
    if (begun) continue;
    missing.push_back(
        {name,
         {0, std::nullopt, {}, "where it began is no longer kept; it covers again once its agent starts anew", std::nullopt}});
  }
}

CompletenessAnswer Coverage::at(const Ip& ip, TimeNs from, TimeNs to, TimeNs now, uint64_t error, std::string_view host) const {
  CompletenessAnswer answer;
  std::set<std::string> hosts;
  for (const Claim& claim : claims(ip, from, to, host)) hosts.insert(claim.host);
  if (hosts.empty()) {
    answer.sentence =
        fmt::format("Not covered. No source had the address {} at that moment, so this book cannot know who used it.", to_text(ip));
    const std::lock_guard lock(mutex_);
    if (dropped_) answer.sentence += fmt::format(" Records up to {} are no longer kept.", moment_text(dropped_->until));
    return answer;
  }
  const std::lock_guard lock(mutex_);
  add_dropped(from, hosts, answer.missing);
  std::vector<std::string> whole;
  TimeNs since = 0;
  std::string late;
  for (const auto& [name, source] : sources_) {
    if (!hosts.contains(source.host) || !captures_owners(source) || stands_back(source, from, to)) continue;
    if (const auto start = source.whole_since(from, to)) {
      // Its error moves the moment that is asked about and the present alike.
      if (late.empty() && !source.has_told(to - std::min(to, error), now)) late = late_sentence(source);
      answer.sources.push_back({name, source.host, *start, source.run_record(from)});
      since = std::max(since, *start);
      continue;
    }
    for (Gap& gap : source.missing(from, to)) answer.missing.push_back({name, std::move(gap)});
  }
  for (const std::string& one : hosts) whole.push_back(one);
  const std::string names = join_names(whole);
  if (!answer.missing.empty() || answer.sources.empty()) {
    answer.state = Completeness::kIncomplete;
    answer.sentence = answer.missing.empty()
                          ? fmt::format("Incomplete. {} had the address, but nothing captured its connections.", names)
                          : fmt::format("Incomplete. {}.", gap_sentence(answer.missing.front()));
  } else if (stalled_since_ && to + kArrivalNs >= *stalled_since_) {
    answer.state = Completeness::kIncomplete;
    answer.sentence = stall_sentence();
  } else if (to > now + error) {
    answer.state = Completeness::kIncomplete;
    answer.sentence = "Incomplete. This moment has not passed yet.";
    answer.young = to - (now + error) < kSettleNs;
  } else if (!late.empty()) {
    answer.state = Completeness::kIncomplete;
    answer.sentence = late;
    answer.young = true;
  } else {
    answer.state = Completeness::kComplete;
    answer.sentence = fmt::format("Complete. {} captured this moment without a gap, since {}.", names, moment_text(since));
  }
  return answer;
}

CompletenessAnswer Coverage::over(TimeNs from, TimeNs to, const std::optional<AskedHosts>& asked) const {
  const std::lock_guard lock(mutex_);
  CompletenessAnswer answer;
  std::vector<Missing> before;  // what a source could not capture because it had not begun
  TimeNs began = 0;             // when the last of those did
  std::string late;
  for (const auto& [name, source] : sources_) {
    if (source.runs.empty() || (asked && !is_about(*asked, source))) continue;
    const TimeNs first = source.runs.front().from;
    if (from > 0 ? from < first : to < first) {
      if (stands_back(source, from, to)) continue;
      before.push_back({name, {0, first, {}, std::string(kNotBegun), source.runs.front().record}});
      began = std::max(began, first);
      if (to < first) continue;
    }
    const TimeNs begin = std::max(from, first);
    const TimeNs end = std::max(to, begin);
    if (stands_back(source, begin, end)) continue;
    std::vector<Gap> missing = source.missing(begin, end);
    if (late.empty() && source.told_until && !source.has_told(to - std::min(to, kSettleNs), to)) late = late_sentence(source);
    if (missing.empty()) answer.sources.push_back({name, source.host, *source.whole_since(begin, end), source.run_record(begin)});
    for (Gap& gap : missing) answer.missing.push_back({name, std::move(gap)});
  }
  add_dropped(from, {}, answer.missing);
  const bool gaps = !answer.missing.empty();
  answer.missing.insert(answer.missing.end(), std::make_move_iterator(before.begin()), std::make_move_iterator(before.end()));
  if (answer.sources.empty() && answer.missing.empty()) {
    answer.sentence = asked && !sources_.empty() ? "Not covered. Nothing has been captured on the hosts that are asked about."
                                                 : "Not covered. Nothing has been captured yet.";
  } else if (answer.sources.empty() && !gaps) {
    answer.sentence = fmt::format("Not covered. Capture began at {}, after the time asked about.", moment_text(began));
  } else if (gaps) {
    answer.state = Completeness::kIncomplete;
    const size_t more = answer.missing.size() - 1;
    answer.sentence = fmt::format("Incomplete. {}{}.", gap_sentence(answer.missing.front()),
                                  more == 0 ? "" : fmt::format("; and {} more {}", more, more == 1 ? "gap" : "gaps"));
  } else if (stalled_since_ && to + kArrivalNs >= *stalled_since_) {
    answer.state = Completeness::kIncomplete;
    answer.sentence = stall_sentence();
  } else if (!late.empty()) {
    answer.state = Completeness::kIncomplete;
    answer.sentence = late;
  } else if (began > 0) {
    answer.state = Completeness::kIncomplete;
    answer.sentence = fmt::format("Incomplete before {}, when capture began; without a gap since.", moment_text(began));
  } else {
    answer.state = Completeness::kComplete;
    const auto latest = std::ranges::max_element(answer.sources, {}, &CompletenessAnswer::Resting::since);
    answer.sentence = fmt::format("Complete. Captured without a gap, since {}.", moment_text(latest->since));
  }
  return answer;
}

std::vector<Source> Coverage::sources() const {
  const std::lock_guard lock(mutex_);
  std::vector<Source> all;
  for (const auto& [name, source] : sources_) all.push_back(source);
  return all;
}

std::vector<std::string> Coverage::hosts() const {
  const std::lock_guard lock(mutex_);
  std::set<std::string> names;
  for (const auto& [name, source] : sources_) names.insert(source.host);
  for (const Claim& claim : claims_) names.insert(claim.host);
  names.erase("");
  return {names.begin(), names.end()};
}

std::vector<Ip> Coverage::claimed_now() const {
  const std::lock_guard lock(mutex_);
  std::set<Ip> addresses;
  for (const Claim& claim : claims_) {
    if (!claim.to) addresses.insert(claim.ip);
  }
  return {addresses.begin(), addresses.end()};
}

std::optional<Gap> Coverage::break_after(std::string_view host, TimeNs after, TimeNs before) const {
  const std::lock_guard lock(mutex_);
  std::optional<Gap> first;
  const auto consider = [&](const Gap& gap) {
    if (gap.from <= before && (!first || gap.from < first->from)) first = gap;
  };
  for (const auto& [name, source] : sources_) {
    // The one that wrote what is asked about ran at that moment.
    if (source.host != host || !sees_sockets(source) || !runs_at(source, after)) continue;
    for (const Gap& gap : source.missing(after, before)) {
      // What polling never sees hides no end of what it saw, while it runs.
      const bool standing = polls(source) && !gap.to && gap.from <= after;
      if (!standing && (gap.from >= after || source.runs.empty() || gap.from >= source.runs.front().from)) consider(gap);
    }
    for (const SourceRun& run : source.runs) {
      if (polls(source) && run.to && *run.to >= after)
        consider({*run.to, next_run(host, *run.to), {}, "capture was stopped", run.record});
    }
  }
  return first;
}

std::optional<TimeNs> Coverage::next_run(std::string_view host, TimeNs after) const {
  std::optional<TimeNs> next;
  for (const auto& [name, source] : sources_) {
    if (source.host != host || !sees_sockets(source)) continue;
    for (const SourceRun& run : source.runs) {
      if (run.from > after && (!next || run.from < *next)) next = run.from;
    }
  }
  return next;
}

std::optional<TimeNs> Coverage::next_run_after(std::string_view host, TimeNs after) const {
  const std::lock_guard lock(mutex_);
  return next_run(host, after);
}

}  // namespace portbook
