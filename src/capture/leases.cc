#include "capture/leases.h"

#include <fmt/format.h>

#include <algorithm>

namespace portbook {

namespace {

// Before Linux 6.14 the kernel says only at its end when an entry began.
constexpr std::string_view kNotTold = "began before this; the kernel says when only at its end";

bool is_followed(const ConntrackMessage& message) {
  return message.tracked.proto == Proto::kTcp || message.tracked.proto == Proto::kUdp;
}

}  // namespace

Leases::Leases(uint64_t host_boot, uint32_t netns, NatTable& nat, const BootClock& clock, Emit emit)
    : host_boot_(host_boot), netns_(netns), nat_(nat), clock_(clock), emit_(std::move(emit)) {}

void Leases::apply(const ConntrackMessage& message, TimeNs now) {
  if (!is_followed(message)) return;
  if (!message.ended) {
    enter(message, now, false);
    return;
  }
  nat_.remove(netns_, message.tracked);
  const Key key{message.tracked, message.id, message.zone};
  const auto at = entries_.find(key);
  Entry entry;
  if (at != entries_.end()) {
    entry = at->second;
    entries_.erase(at);
  } else {
    // Made and ended within one loss, or before capture saw it.
    entry.start = message.start;
    entry.start_known = message.start != 0;
  }
  const TimeNs time = message.event != 0 ? message.event : message.stop != 0 ? message.stop : now;
  if (message.tracked.translated()) write_close(key, entry, time, &message, {});
}

void Leases::enter(const ConntrackMessage& message, TimeNs now, bool dumped) {
  const Key key{message.tracked, message.id, message.zone};
  const auto [at, is_new] = entries_.try_emplace(key);
  // An entry that comes while a dump runs is not to be missed in it.
  at->second.dump = dumping_ || dumped ? dump_ : at->second.dump;
  if (!is_new) return;
  Entry& entry = at->second;
  entry.dump = dump_;
  entry.start = message.start != 0 ? message.start : message.event != 0 ? message.event : now;
  entry.start_told = message.start != 0 || message.event != 0;
  const bool existing = dumped && initial_;
  entry.start_known = !existing || message.start != 0;
  nat_.add(netns_, message.tracked);
  if (message.tracked.translated()) write(existing ? Kind::kExisting : Kind::kNatOpen, key, entry, existing ? now : entry.start);
}

void Leases::begin_dump(bool initial, TimeNs now) {
  ++dump_;
  dump_began_ = now;
  dumping_ = true;
  initial_ = initial;
}

void Leases::apply_dumped(const ConntrackMessage& message, TimeNs now) {
  if (is_followed(message) && !message.ended) enter(message, now, true);
}

void Leases::end_dump(TimeNs now, std::string_view cause) {
  dumping_ = false;
  for (auto at = entries_.begin(); at != entries_.end();) {
    if (at->second.dump == dump_) {
      ++at;
      continue;
    }
    nat_.remove(netns_, at->first.tracked);
    if (at->first.tracked.translated()) write_unseen_close(at->first, at->second, now, cause);
    at = entries_.erase(at);
  }
  last_dump_ = dump_began_;
}

void Leases::end_all(TimeNs now, std::string_view cause) {
  for (const auto& [key, entry] : entries_) {
    if (key.tracked.translated()) write_unseen_close(key, entry, now, cause);
  }
  entries_.clear();
  nat_.forget(netns_);
}

// Boot, namespace and zone, conntrack id, start: together unique, though the id alone is not.
Id128 Leases::conn_of(const Key& key, const Entry& entry) const {
  Id128 conn;
  store_big(conn.data(), static_cast<uint32_t>(host_boot_ >> 32));
  store_big(conn.data() + 4, netns_ ^ uint32_t{key.zone} << 16);
  store_big(conn.data() + 8, key.id);
  store_big(conn.data() + 12, static_cast<uint32_t>(entry.start / kNsPerMs));
  return conn;
}

void Leases::write(Kind kind, const Key& key, const Entry& entry, TimeNs time) {
  const Tracked& tracked = key.tracked;
  record_.clear();
  record_.set(Field::kKind, kind);
  record_.set(Field::kTime, time);
  record_.set(Field::kVantage, Vantage::kNat);
  record_.set(Field::kProto, tracked.proto);
  record_.set(Field::kDirection, Direction::kForward);
  record_.set(Field::kNat, Nat::kTranslated);
  record_.set(Field::kSrcIp, Field::kSrcPort, tracked.original.src);
  record_.set(Field::kDstIp, Field::kDstPort, tracked.original.dst);
  if (tracked.source_translated()) record_.set(Field::kSrcNatIp, Field::kSrcNatPort, tracked.reply.dst);
  if (tracked.destination_translated()) record_.set(Field::kDstNatIp, Field::kDstNatPort, tracked.reply.src);
  record_.set(Field::kConn, conn_of(key, entry));
  record_.set(Field::kNetns, uint64_t{netns_});
  if (key.zone != 0) record_.set(Field::kZone, uint64_t{key.zone});
  record_.set(Field::kConntrackId, uint64_t{key.id});
  if (entry.start_known && entry.start_told && entry.start != time) record_.set(Field::kStart, entry.start);
  if (kind == Kind::kNatOpen && !entry.start_told) record_.set(Field::kCause, kNotTold);
  clock_.put_quality(record_);
  if (kind != Kind::kNatClose) emit_(record_);
}

// Its end is not known: after it was there for the last time, not later than the record.
void Leases::write_unseen_close(const Key& key, const Entry& entry, TimeNs now, std::string_view cause) {
  write_close(key, entry, now, nullptr,
              fmt::format("{}; it was there at {}", cause, format_time(std::max(entry.start, last_dump_))));
}

void Leases::write_close(const Key& key, const Entry& entry, TimeNs time, const ConntrackMessage* message, std::string_view cause) {
  write(Kind::kNatClose, key, entry, time);
  if (message != nullptr && message->start != 0) {
    record_.set(Field::kStart, message->start);
  } else if (entry.start_known && entry.start_told) {
    record_.set(Field::kStart, entry.start);
  }
  if (cause.empty()) record_.set(Field::kEnd, time);
  if (!cause.empty()) record_.set(Field::kCause, cause);
  if (message != nullptr && message->original) {
    record_.set(Field::kBytesOut, message->original->bytes);
    record_.set(Field::kPacketsOut, message->original->packets);
  }
  if (message != nullptr && message->reply) {
    record_.set(Field::kBytesIn, message->reply->bytes);
    record_.set(Field::kPacketsIn, message->reply->packets);
  }
  emit_(record_);
}

}  // namespace portbook
