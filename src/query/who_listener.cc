// Who listened on the asked endpoint, or on the real server behind it.
#include <fmt/format.h>

#include "query/evaluate.h"
#include "query/who_search.h"

namespace portbook {

void WhoSearch::add_listeners() {
  std::set<Endpoint> places = published_;
  places.insert(question_.endpoint);
  for (const Ip& any : {*parse_ip("0.0.0.0"), *parse_ip("::")}) places.insert({any, question_.endpoint.port});
  for (const Endpoint& published : published_) {
    for (const Ip& any : {*parse_ip("0.0.0.0"), *parse_ip("::")}) places.insert({any, published.port});
  }
  for (const Endpoint& place : places) {
    if (!joins_.status()) return;
    add_listeners_at(place);
  }
}

void WhoSearch::add_listeners_at(const Endpoint& endpoint) {
  constexpr size_t kLookedAtMax = 20'000;
  size_t looked_at = 0;
  std::vector<Indexed> found;
  const auto status = joins_.view().for_each_with(endpoint_key(endpoint),
                                                  [&](uint64_t index, const Record& record) {
                                                    if (record.kind() == Kind::kListen) found.emplace_back(index, record);
                                                    return ++looked_at < kLookedAtMax && found.size() < kLeasesMax;
                                                  },
                                                  {.marks = kMarkListen});
  if (!status) return;
  bounded_ = bounded_ || looked_at >= kLookedAtMax || found.size() >= kLeasesMax;
  for (const Indexed& listen : found) add_listener(endpoint, listen);
}

void WhoSearch::add_listener(const Endpoint& endpoint, const Indexed& listen) {
  const Record& record = listen.record;
  // A listening socket's own endpoint stands at its local end, whichever pair that is.
  const auto local = record.endpoint(Field::kDstIp, Field::kDstPort);
  const auto at_src = record.endpoint(Field::kSrcIp, Field::kSrcPort);
  if (local != endpoint && at_src != endpoint) return;
  if (record.has(Field::kConn) && !added_.insert(record.id128(Field::kConn)).second) return;
  Candidate candidate;
  candidate.relation = Candidate::Relation::kListener;
  candidate.host = record.text_or(Field::kHost, "");
  if (record.has(Field::kNetns)) candidate.netns = record.uint(Field::kNetns);
  const bool own = endpoint.ip == question_.endpoint.ip || published_.contains(endpoint);
  if (!own && !listens_on_claimed_address(candidate)) return;
  candidate.internal = endpoint;
  candidate.start = record.uint_or(Field::kStart, record.time());
  if (record.has(Field::kClockError)) candidate.clock_error_ns = record.uint(Field::kClockError);
  candidate.records.push_back(listen.index);
  TimeNs last_seen = record.time();
  if (record.has(Field::kConn)) {
    for (const Indexed& one : joins_.records_of(record.id128(Field::kConn))) {
      // A listener's end is a second `listen` record, which has both of its times.
      if (one.record.kind() != Kind::kListen) continue;
      candidate.start = std::min(*candidate.start, one.record.uint_or(Field::kStart, one.record.time()));
      last_seen = std::max(last_seen, one.record.time());
      if (!one.record.has(Field::kEnd)) continue;
      candidate.end = one.record.uint(Field::kEnd);
      if (one.index != listen.index) candidate.records.push_back(one.index);
    }
  }
  candidate.state = candidate.end ? fmt::format("closed at {}", format_time(*candidate.end)) : "open now";
  TimeNs end = candidate.end.value_or(UINT64_MAX);
  if (!candidate.end) {
    if (const auto gap = coverage_.break_after(candidate.host, last_seen, now_)) end = unknown_end(last_seen, *gap, candidate);
  }
  place(candidate, *candidate.start, end);
  set_process(record, listen.index, candidate);
  candidate.hops.push_back({Hop::Class::kProven, Hop::Kind::kEndpoint, to_text(endpoint), "listening endpoint", "", {}});
  add_owner_hops(candidate, listen.index);
  answer_.candidates.push_back(std::move(candidate));
}

// 0.0.0.0 and :: stand for the addresses of their own host and namespace only.
bool WhoSearch::listens_on_claimed_address(const Candidate& candidate) const {
  for (const Claim& claim : coverage_.claims(question_.endpoint.ip, low_, high_, candidate.host)) {
    if (!claim.netns || !candidate.netns || *claim.netns == *candidate.netns) return true;
  }
  return false;
}

}  // namespace portbook
