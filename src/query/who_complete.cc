// Whether the answer is whole: the asked address, and every internal one that it led to.
#include <fmt/format.h>

#include <algorithm>

#include "query/who_search.h"

namespace portbook {

void WhoSearch::settle_completeness() {
  uint64_t error = 0;
  for (const Candidate& candidate : answer_.candidates) error = std::max(error, candidate.clock_error_ns.value_or(0));
  for (const Source& source : coverage_.sources()) error = std::max(error, source.clock_error_ns.value_or(0));
  error = std::min<uint64_t>(error, kNsPerSecond);
  // An asked window wider than the error is part of the question: whoever is said to be nobody must be so all through it. What of
  // it lies ahead of the present was not asked.
  const uint64_t before = std::max(error, question_.window_ns.value_or(0));
  const TimeNs from = low_ - std::min(low_, before);
  const TimeNs settled = now_ - std::min(now_, kSettleNs);
  const TimeNs to = std::max(high_ + error, std::min(high_ + before, settled));
  // The host asked for is the owner's: through a lease the asked address may be another host's.
  const bool through_lease = std::ranges::any_of(answer_.candidates, [&](const Candidate& one) {
    return one.lease && (one.lease->external == question_.endpoint || one.published);
  });
  answer_.completeness =
      coverage_.at(question_.endpoint.ip, from, to, now_, error, through_lease ? std::string_view() : question_.host);
  for (const Candidate& candidate : answer_.candidates) {
    if (answer_.completeness.state != Completeness::kComplete) break;
    if (candidate.verdict != Candidate::Verdict::kMatches || !candidate.lease || !candidate.internal) continue;
    CompletenessAnswer inside = coverage_.at(candidate.internal->ip, from, to, now_, error);
    if (inside.state == Completeness::kComplete) {
      for (CompletenessAnswer::Resting& one : inside.sources) {
        const bool known =
            std::ranges::any_of(answer_.completeness.sources, [&](const auto& other) { return other.source == one.source; });
        if (!known) answer_.completeness.sources.push_back(std::move(one));
      }
    } else {
      inside.state = Completeness::kIncomplete;
      answer_.completeness = std::move(inside);
    }
  }
  if (bounded_ && answer_.completeness.state == Completeness::kComplete) {
    answer_.completeness.state = Completeness::kIncomplete;
    answer_.completeness.sentence = fmt::format(
        "Incomplete. So many records name this endpoint that only a part was looked at (at most {} records, {} candidates); "
        "--peer narrows it.",
        kWhoRecordsMax, kWhoCandidatesMax);
  }
  if (!clock_synchronised_ && answer_.completeness.state == Completeness::kComplete) {
    answer_.completeness.state = Completeness::kClockNotSynchronised;
    answer_.completeness.sentence +=
        fmt::format(" Its clock is not synchronised, so candidates within {} are given, nearest first.",
                    answer_.window_ns >= kNsPerSecond ? fmt::format("{} s", answer_.window_ns / kNsPerSecond)
                                                      : fmt::format("{} ms", answer_.window_ns / kNsPerMs));
  }
}

}  // namespace portbook
