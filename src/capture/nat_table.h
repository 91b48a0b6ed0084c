// What connection tracking knows right now, for joining sockets with their translation.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>

#include "record/endpoint.h"
#include "record/fields.h"

namespace portbook {

struct Tuple {
  Endpoint src;
  Endpoint dst;
  auto operator<=>(const Tuple&) const = default;
};

// One connection as tracked in one namespace. internal = original.src, external = reply.dst, asked for = original.dst,
// real server = reply.src.
struct Tracked {
  Tuple original;
  Tuple reply;
  Proto proto = Proto::kTcp;

  [[nodiscard]] bool source_translated() const { return original.src != reply.dst; }
  [[nodiscard]] bool destination_translated() const { return original.dst != reply.src; }
  [[nodiscard]] bool translated() const { return source_translated() || destination_translated(); }
  auto operator<=>(const Tracked&) const = default;
};

// Which socket's translation is wanted.
struct NatQuestion {
  uint32_t netns = 0;
  Proto proto = Proto::kTcp;
  Direction direction = Direction::kOut;
  Endpoint local;
  Endpoint remote;
  // Its entry, if it has one, was made before this.
  uint64_t tracked_by_boot_ns = 0;
};

// What a namespace's connection tracking says about one socket.
struct NatAnswer {
  Nat nat = Nat::kUnknown;
  NatReason reason = NatReason::kNoConntrack;  // where nat is unknown
  Tracked tracked;                             // where it is translated
};

// TCP connections and UDP flows by namespace and tuple, in both directions. Thread-safe: conntrack's thread writes, the socket
// thread asks.
class NatTable {
 public:
  // How well a namespace is watched decides why an entry may be missing. kStarting: what was tracked before it was watched is being
  // read; kNoConntrack: nothing was ever tracked.
  enum class Coverage : uint8_t { kNotCovered, kNotPermitted, kStarting, kNoConntrack, kWatched, kGap };

  void add(uint32_t netns, const Tracked& tracked);
  void remove(uint32_t netns, const Tracked& tracked);
  void set_coverage(uint32_t netns, Coverage coverage);
  void forget(uint32_t netns);
  // Of every namespace that is watched without a gap, all entries made before that moment have been added; of those in `behind`
  // only the entries of the moment before.
  void read_until(uint64_t boot_ns, std::span<const uint32_t> behind = {});

  // Somebody was in that namespace then. One that nobody watches is remembered for take_unknown(); asking about its sockets does
  // the same.
  void notice(uint32_t netns, uint64_t boot_ns) const;
  // Namespaces that nobody watches, with the moment at which each was noticed first.
  [[nodiscard]] bool has_unknown() const { return has_unknown_.load(std::memory_order_relaxed); }
  std::map<uint32_t, uint64_t> take_unknown();
  // What happened up to then in a namespace that is gone has been told of, be it as a gap: it is noticed no more.
  void told_until(uint32_t netns, uint64_t boot_ns);

  // Nothing: the entry may be on its way. `final`: the caller will not ask again, and gets a reason instead.
  std::optional<NatAnswer> ask(const NatQuestion& question, bool final) const;

 private:
  struct Key {
    uint32_t netns;
    Proto proto;
    Tuple tuple;
    bool operator==(const Key&) const = default;
  };
  struct HashKey {
    size_t operator()(const Key& key) const;
  };
  void notice_locked(uint32_t netns, uint64_t boot_ns) const;
  mutable std::mutex mutex_;
  std::unordered_map<Key, Tracked, HashKey> by_original_;
  std::unordered_map<Key, Tracked, HashKey> by_reply_;  // keyed by reply.src, reply.dst; translated ones only
  std::unordered_map<uint32_t, Coverage> coverage_;
  uint64_t read_until_ = 0;
  std::unordered_map<uint32_t, uint64_t> behind_;  // read until then
  mutable std::map<uint32_t, uint64_t> unknown_;   // first noticed then
  mutable std::atomic<bool> has_unknown_ = false;
  std::unordered_map<uint32_t, uint64_t> told_until_;
};

}  // namespace portbook
