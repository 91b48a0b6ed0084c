// Translations: turns one namespace's connection tracking messages into lease records and into what sockets ask for.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_map>

#include "capture/boot_clock.h"
#include "capture/conntrack_message.h"
#include "capture/nat_table.h"
#include "record/record.h"

namespace portbook {

// Of one network namespace. Owned by one thread; everything passed in outlives it.
class Leases {
 public:
  using Emit = std::function<void(Record&)>;
  Leases(uint64_t host_boot, uint32_t netns, NatTable& nat, const BootClock& clock, Emit emit);

  // One message, received at `now`. TCP and UDP; others are left alone.
  void apply(const ConntrackMessage& message, TimeNs now);

  // Around a dump of the whole table, whose entries come through apply() with `dumped`. Entries that were there before it began and
  // are not in it have ended unseen: their leases are closed with `cause` and with the moment at which they are known to have been
  // there. `initial`: what the dump shows was there before capture.
  void begin_dump(bool initial, TimeNs now);
  void apply_dumped(const ConntrackMessage& message, TimeNs now);
  void end_dump(TimeNs now, std::string_view cause);
  // The namespace is gone, and all its entries.
  void end_all(TimeNs now, std::string_view cause);

  [[nodiscard]] size_t entries() const { return entries_.size(); }

 private:
  struct Key {
    Tracked tracked;
    uint32_t id;
    uint16_t zone;
    bool operator==(const Key&) const = default;
  };
  struct HashKey {
    size_t operator()(const Key& key) const { return key.id * 0x9e3779b97f4a7c15 ^ key.tracked.original.src.port; }
  };
  struct Entry {
    TimeNs start = 0;  // as the kernel told it, or when it was heard of
    bool start_known = true;
    bool start_told = true;
    uint32_t dump = 0;  // the last one that showed it, or that was over when it came
  };
  void enter(const ConntrackMessage& message, TimeNs now, bool dumped);
  void write(Kind kind, const Key& key, const Entry& entry, TimeNs time);
  void write_close(const Key& key, const Entry& entry, TimeNs time, const ConntrackMessage* message, std::string_view cause);
  void write_unseen_close(const Key& key, const Entry& entry, TimeNs now, std::string_view cause);
  Id128 conn_of(const Key& key, const Entry& entry) const;

  const uint64_t host_boot_;
  const uint32_t netns_;
  NatTable& nat_;
  const BootClock& clock_;
  const Emit emit_;
  std::unordered_map<Key, Entry, HashKey> entries_;
  uint32_t dump_ = 0;
  TimeNs dump_began_ = 0;
  TimeNs last_dump_ = 0;  // when the last whole one began
  bool dumping_ = false;
  bool initial_ = false;
  Record record_;
};

}  // namespace portbook
