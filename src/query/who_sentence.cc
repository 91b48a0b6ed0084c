// How an answer is said in words.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "query/moment.h"
#include "query/who.h"

namespace portbook {

namespace {

using Relation = Candidate::Relation;

std::string short_id(std::string_view container) {
  return std::string(container.substr(0, 12));
}

// Tells owners apart: the process, or where none is known the endpoint.
std::string owner_key(const Candidate& candidate) {
  if (candidate.process) {
    return fmt::format("{} {} {}", candidate.host, candidate.process->record.uint(Field::kPid),
                       candidate.process->record.uint_or(Field::kProcessStart, 0));
  }
  return fmt::format("{} {}", candidate.host, candidate.internal ? to_text(*candidate.internal) : "");
}

std::string name_of(const Candidate& candidate) {
  if (candidate.process) return process_name(candidate.process->record);
  return candidate.internal ? to_text(*candidate.internal) : "an unknown socket";
}

std::string on_host(const Candidate& candidate) {
  return candidate.host.empty() ? "" : fmt::format(" on {}", candidate.host);
}

std::string login_of(const Candidate& candidate) {
  if (!candidate.process) return ", whose process is not recorded";
  const Record& record = candidate.process->record;
  if (record.has(Field::kLoginUser)) return fmt::format(", in {}’s login", record.text(Field::kLoginUser));
  if (record.has(Field::kUser)) return fmt::format(", as user {}", record.text(Field::kUser));
  return record.has(Field::kUid) ? fmt::format(", as uid {}", record.uint(Field::kUid)) : "";
}

std::string facts_of(const Candidate& candidate) {
  if (!candidate.process) return {};
  const Record& record = candidate.process->record;
  std::string out = fmt::format("pid {}", record.uint(Field::kPid));
  if (record.has(Field::kProcessStart))
    out += fmt::format(", started {}", moment_text(record.uint(Field::kProcessStart), kNsPerSecond));
  if (record.has(Field::kUser)) out += fmt::format(", user {}", record.text(Field::kUser));
  if (record.has(Field::kLoginUser)) out += fmt::format(", login {}", record.text(Field::kLoginUser));
  if (record.has(Field::kContainerName)) {
    out += fmt::format(", container {}", record.text(Field::kContainerName));
  } else if (record.has(Field::kContainer)) {
    out += fmt::format(", container {}", short_id(record.text(Field::kContainer)));
  }
  return out + ".";
}

std::string count_of(size_t count, std::string_view one, std::string_view many) {
  static constexpr std::array<std::string_view, 10> kWords = {"No",   "One", "Two",   "Three", "Four",
                                                              "Five", "Six", "Seven", "Eight", "Nine"};
  return fmt::format("{} {}", count < kWords.size() ? std::string(kWords[count]) : std::to_string(count), count == 1 ? one : many);
}

struct Matches {
  std::vector<const Candidate*> owned;
  std::vector<const Candidate*> seen_by;
  std::vector<const Candidate*> listeners;
  size_t ruled_out = 0;
};

Matches matches_of(const WhoAnswer& answer) {
  Matches matches;
  for (const Candidate& candidate : answer.candidates) {
    if (candidate.verdict == Candidate::Verdict::kRuledOut) ++matches.ruled_out;
    if (candidate.verdict != Candidate::Verdict::kMatches) continue;
    auto& list = candidate.relation == Relation::kOwned      ? matches.owned
                 : candidate.relation == Relation::kListener ? matches.listeners
                                                             : matches.seen_by;
    list.push_back(&candidate);
  }
  return matches;
}

size_t owners_in(const std::vector<const Candidate*>& candidates) {
  std::set<std::string> keys;
  for (const Candidate* candidate : candidates) keys.insert(owner_key(*candidate));
  return keys.size();
}

std::string named(const std::vector<const Candidate*>& candidates) {
  constexpr size_t kNamedMax = 3;
  std::set<std::string> keys;
  std::string out;
  for (const Candidate* candidate : candidates) {
    if (!keys.insert(owner_key(*candidate)).second) continue;
    if (keys.size() > kNamedMax) continue;
    if (!out.empty()) out += ", ";
    out += candidate->process ? fmt::format("{} (pid {}){}", name_of(*candidate), candidate->process->record.uint(Field::kPid),
                                            on_host(*candidate))
                              : name_of(*candidate) + on_host(*candidate);
  }
  if (keys.size() > kNamedMax) out += fmt::format(" and {} more", keys.size() - kNamedMax);
  return out;
}

std::string ruled_out_sentence(const Matches& matches) {
  if (matches.ruled_out == 0) return {};
  return fmt::format(" {} ruled out.", count_of(matches.ruled_out, "other candidate is", "other candidates are"));
}

std::string nearest_sentence(const WhoAnswer& answer) {
  std::string out;
  for (const Candidate& candidate : answer.candidates) {
    if (candidate.verdict != Candidate::Verdict::kNotCovering) continue;
    const bool before = candidate.position == Candidate::Position::kBefore;
    out += fmt::format("{}{}{} {} {} {}.", out.empty() ? "" : " ", name_of(candidate), on_host(candidate),
                       candidate.relation == Relation::kSeenBy ? "saw it" : "had it", distance_text(candidate.distance_ns),
                       before ? "before" : "after");
  }
  return out;
}

void describe_nothing(WhoAnswer& answer, const Matches& matches) {
  const std::string moment = moment_text(answer.question.at, answer.question.precision_ns);
  switch (answer.completeness.state) {
    case Completeness::kNotCovered:
      answer.verdict = WhoVerdict::kNotCovered;
      answer.sentence =
          fmt::format("Not covered: no source of this book had {} at {}", to_text(answer.question.endpoint.ip), moment);
      break;
    case Completeness::kIncomplete:
      answer.verdict = WhoVerdict::kIncomplete;
      answer.sentence =
          fmt::format("No owner of {} is recorded at {}, but the capture was not whole", to_text(answer.question.endpoint), moment);
      break;
    case Completeness::kComplete:
    case Completeness::kClockNotSynchronised:
      answer.verdict = WhoVerdict::kNobody;
      answer.sentence = fmt::format("Nobody had {} at {}{}", to_text(answer.question.endpoint), moment,
                                    matches.ruled_out > 0 ? " towards that peer" : "");
      break;
  }
  answer.detail = nearest_sentence(answer) + ruled_out_sentence(matches);
}

void describe_owner(WhoAnswer& answer, const Matches& matches) {
  const Candidate& first = *matches.owned.front();
  const size_t owners = owners_in(matches.owned);
  if (owners > 1) {
    answer.verdict = WhoVerdict::kSeveral;
    answer.sentence = fmt::format("{} had {} at {}", count_of(owners, "owner", "owners"), to_text(answer.question.endpoint),
                                  moment_text(answer.question.at, answer.question.precision_ns));
    answer.detail = fmt::format("{}.{}{}", named(matches.owned), answer.question.peer ? "" : " Naming the peer tells them apart.",
                                ruled_out_sentence(matches));
    return;
  }
  answer.verdict = WhoVerdict::kOwner;
  answer.sentence = fmt::format("It was {}{}{}", name_of(first), on_host(first), login_of(first));
  answer.detail = facts_of(first);
  if (!first.process && !first.reason.empty()) answer.detail = fmt::format("{}.", first.reason);
  if (matches.owned.size() > 1)
    answer.detail += fmt::format(" {} of its connections used it at that moment.", matches.owned.size());
  if (first.state == "lease outlived the connection")
    answer.detail += fmt::format(" The lease outlived the connection: {}.", first.reason);
  if (first.state == "end unknown") answer.detail += fmt::format(" Its end is not known: {}.", first.reason);
  answer.detail += ruled_out_sentence(matches);
  if (answer.detail.starts_with(' ')) answer.detail.erase(0, 1);
}

void describe_listener(WhoAnswer& answer, const Matches& matches) {
  const Candidate& first = *matches.listeners.front();
  const size_t owners = owners_in(matches.listeners);
  answer.verdict = WhoVerdict::kListener;
  answer.sentence = owners > 1 ? fmt::format("{} listened on {}: {}", count_of(owners, "process", "processes"),
                                             to_text(answer.question.endpoint), named(matches.listeners))
                               : fmt::format("{}{} listened on it{}", name_of(first), on_host(first), login_of(first));
  answer.detail = facts_of(first);
  if (!matches.owned.empty()) {
    answer.detail += fmt::format(" {} open at that moment; naming the peer picks one.",
                                 count_of(matches.owned.size(), "connection was", "connections were"));
  }
}

void describe_seen_by(WhoAnswer& answer, const Matches& matches) {
  const Candidate& first = *matches.seen_by.front();
  const size_t owners = owners_in(matches.seen_by);
  answer.verdict = WhoVerdict::kSeenBy;
  answer.sentence = owners > 1 ? fmt::format("It was seen by {}, and owned by none of them", named(matches.seen_by))
                               : fmt::format("It was seen by {}{}, which did not own it", name_of(first), on_host(first));
  answer.detail = fmt::format("{} was the other end of {}{}. {}{}", to_text(answer.question.endpoint),
                              first.peer ? to_text(*first.peer) : "an unknown endpoint",
                              matches.seen_by.size() > 1 ? fmt::format(" and {} more", matches.seen_by.size() - 1) : "",
                              facts_of(first), ruled_out_sentence(matches));
}

}  // namespace

std::string_view to_text(WhoVerdict verdict) {
  switch (verdict) {
    case WhoVerdict::kOwner: return "owner";
    case WhoVerdict::kSeenBy: return "seen_by";
    case WhoVerdict::kListener: return "listener";
    case WhoVerdict::kNobody: return "nobody";
    case WhoVerdict::kNotCovered: return "not_covered";
    case WhoVerdict::kIncomplete: return "incomplete";
    case WhoVerdict::kSeveral: return "several";
  }
  return "nobody";
}

void describe(WhoAnswer& answer) {
  const Matches matches = matches_of(answer);
  const bool inbound_only = std::ranges::all_of(matches.owned, &Candidate::inbound);
  if (!matches.listeners.empty() && inbound_only && (!answer.question.peer || matches.owned.empty())) {
    describe_listener(answer, matches);
  } else if (!matches.owned.empty()) {
    describe_owner(answer, matches);
  } else if (!matches.seen_by.empty()) {
    describe_seen_by(answer, matches);
  } else {
    describe_nothing(answer, matches);
  }
  if (!answer.question.time_given && answer.question.text.contains(' '))
    answer.detail += fmt::format("{}The text names no time, so this is about now.", answer.detail.empty() ? "" : " ");
}

}  // namespace portbook
