// The chain of an answer: from the asked endpoint over the lease to the socket, its process and its ancestors.
#include <fmt/format.h>

#include "query/moment.h"
#include "query/who_search.h"

namespace portbook {

void WhoSearch::add_endpoint_hops(Candidate& candidate) {
  if (candidate.published && candidate.lease) {
    const Lease& lease = *candidate.lease;
    candidate.hops.push_back({Hop::Class::kProven,
                              Hop::Kind::kEndpoint,
                              to_text(*candidate.published),
                              fmt::format("published endpoint, asked for by {}", to_text(lease.internal)),
                              "",
                              {}});
    candidate.hops.push_back({Hop::Class::kProven, Hop::Kind::kLease, "lease",
                              fmt::format("translation by {}, {}", lease.host, interval_text(lease.start, lease.end)),
                              "conntrack of that host", lease.records});
    candidate.records.insert(candidate.records.end(), lease.records.begin(), lease.records.end());
  } else if (candidate.lease && candidate.lease->external && candidate.relation == Candidate::Relation::kOwned) {
    const Lease& lease = *candidate.lease;
    candidate.hops.push_back({Hop::Class::kProven,
                              Hop::Kind::kEndpoint,
                              to_text(*lease.external),
                              fmt::format("external endpoint, seen by {}", to_text(lease.server.value_or(lease.asked_for))),
                              "",
                              {}});
    candidate.hops.push_back({Hop::Class::kProven, Hop::Kind::kLease, "lease",
                              fmt::format("lease of {}, {}", lease.host, interval_text(lease.start, lease.end)),
                              "conntrack of that host", lease.records});
    candidate.records.insert(candidate.records.end(), lease.records.begin(), lease.records.end());
  } else if (candidate.external && candidate.external != candidate.internal && candidate.relation == Candidate::Relation::kOwned) {
    candidate.hops.push_back(
        {Hop::Class::kProven, Hop::Kind::kEndpoint, to_text(*candidate.external), "external endpoint", "", {}});
  }
  if (candidate.relation == Candidate::Relation::kSeenBy) {
    candidate.hops.push_back(
        {Hop::Class::kProven,
         Hop::Kind::kEndpoint,
         to_text(question_.endpoint),
         fmt::format("remote endpoint, seen by {}", candidate.peer ? to_text(*candidate.peer) : candidate.host),
         "",
         {}});
  }
  if (candidate.internal) {
    candidate.hops.push_back({Hop::Class::kProven,
                              Hop::Kind::kEndpoint,
                              to_text(*candidate.internal),
                              fmt::format("{} endpoint, open {}", candidate.inbound ? "local" : "internal",
                                          interval_text(candidate.start, candidate.end)),
                              "",
                              {}});
  }
}

void WhoSearch::add_owner_hops(Candidate& candidate, uint64_t main) {
  candidate.hops.push_back({Hop::Class::kProven,
                            Hop::Kind::kSocket,
                            "socket",
                            fmt::format("socket owner, by the kernel of {}", candidate.host),
                            "socket record",
                            {main}});
  if (!candidate.process) return;
  const auto hop = [](Hop::Kind kind, const ProcessFact& fact) {
    const Record& record = fact.record;
    std::string text(record.text_or(Field::kUser, record.has(Field::kUid) ? fmt::format("uid {}", record.uint(Field::kUid)) : ""));
    if (record.has(Field::kLoginUser)) text += fmt::format("{}login {}", text.empty() ? "" : ", ", record.text(Field::kLoginUser));
    return Hop{Hop::Class::kProven,
               kind,
               fmt::format("{} {}", process_name(record), record.uint(Field::kPid)),
               std::move(text),
               "process record",
               fact.id ? std::vector<uint64_t>{*fact.id} : std::vector<uint64_t>{}};
  };
  candidate.hops.push_back(hop(Hop::Kind::kProcess, *candidate.process));
  for (const ProcessFact& fact : candidate.ancestors) candidate.hops.push_back(hop(Hop::Kind::kAncestor, fact));
}

}  // namespace portbook
