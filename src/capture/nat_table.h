// What connection tracking knows right now, for joining sockets with their translation.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
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
  // How well a namespace is watched decides why an entry may be missing.
  enum class Coverage : uint8_t { kNotCovered, kNotPermitted, kNoConntrack, kWatched, kGap };

  void add(uint32_t netns, const Tracked& tracked);
  void remove(uint32_t netns, const Tracked& tracked);
  void set_coverage(uint32_t netns, Coverage coverage);
  void forget(uint32_t netns);

  // For a socket of `netns` and `proto` with these ends. `final`: the caller will not ask again, so a missing entry is kNoEntry and
  // not nothing. Nothing: an entry is to be expected soon.
  std::optional<NatAnswer> ask(uint32_t netns, Proto proto, Direction direction, const Endpoint& local, const Endpoint& remote,
                               bool final) const;

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
  mutable std::mutex mutex_;
  std::unordered_map<Key, Tracked, HashKey> by_original_;
  std::unordered_map<Key, Tracked, HashKey> by_reply_;  // keyed by reply.src, reply.dst; translated ones only
  std::unordered_map<uint32_t, Coverage> coverage_;
};

}  // namespace portbook
