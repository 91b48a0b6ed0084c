#include "capture/nat_table.h"

#include <cstring>

namespace portbook {

namespace {

uint64_t hash_endpoint(const Endpoint& endpoint) {
  uint64_t low = 0;
  uint64_t high = 0;
  std::memcpy(&low, endpoint.ip.bytes.data(), 8);
  std::memcpy(&high, endpoint.ip.bytes.data() + 8, 8);
  uint64_t mixed = (high ^ (uint64_t{endpoint.port} << 17)) * 0x9e3779b97f4a7c15 ^ low;
  mixed ^= mixed >> 29;
  return mixed * 0xbf58476d1ce4e5b9;
}

}  // namespace

size_t NatTable::HashKey::operator()(const Key& key) const {
  return hash_endpoint(key.tuple.src) ^ (hash_endpoint(key.tuple.dst) * 3) ^ key.netns ^
         (uint64_t{static_cast<uint8_t>(key.proto)} << 40);
}

void NatTable::add(uint32_t netns, const Tracked& tracked) {
  const std::lock_guard lock(mutex_);
  coverage_[netns] = Coverage::kWatched;
  by_original_[{netns, tracked.proto, tracked.original}] = tracked;
  if (tracked.translated()) by_reply_[{netns, tracked.proto, tracked.reply}] = tracked;
}

void NatTable::remove(uint32_t netns, const Tracked& tracked) {
  const std::lock_guard lock(mutex_);
  const auto original = by_original_.find({netns, tracked.proto, tracked.original});
  // The same tuple may have been tracked anew before the older one's end was told.
  if (original != by_original_.end() && original->second == tracked) by_original_.erase(original);
  const auto reply = by_reply_.find({netns, tracked.proto, tracked.reply});
  if (reply != by_reply_.end() && reply->second == tracked) by_reply_.erase(reply);
}

void NatTable::set_coverage(uint32_t netns, Coverage coverage) {
  const std::lock_guard lock(mutex_);
  coverage_[netns] = coverage;
}

void NatTable::forget(uint32_t netns) {
  const std::lock_guard lock(mutex_);
  coverage_.erase(netns);
  std::erase_if(by_original_, [&](const auto& entry) { return entry.first.netns == netns; });
  std::erase_if(by_reply_, [&](const auto& entry) { return entry.first.netns == netns; });
}

std::optional<NatAnswer> NatTable::ask(uint32_t netns, Proto proto, Direction direction, const Endpoint& local,
                                       const Endpoint& remote, bool final) const {
  const bool out = direction == Direction::kOut;
  const Tuple asked = out ? Tuple{local, remote} : Tuple{remote, local};
  const std::lock_guard lock(mutex_);
  const Tracked* found = nullptr;
  const auto original = by_original_.find({netns, proto, asked});
  if (original != by_original_.end()) found = &original->second;
  if (found == nullptr && !out) {
    // The accepting socket stands behind the translation: it is the reply's source.
    const auto reply = by_reply_.find({netns, proto, Tuple{local, remote}});
    if (reply != by_reply_.end()) found = &reply->second;
  }
  if (found != nullptr) return NatAnswer{found->translated() ? Nat::kTranslated : Nat::kNone, {}, *found};
  const auto covered = coverage_.find(netns);
  const Coverage coverage = covered == coverage_.end() ? Coverage::kNotCovered : covered->second;
  if (coverage == Coverage::kNoConntrack) return NatAnswer{Nat::kUnknown, NatReason::kNoConntrack, {}};
  if (coverage == Coverage::kNotPermitted) return NatAnswer{Nat::kUnknown, NatReason::kNotPermitted, {}};
  if (!final) return std::nullopt;
  if (coverage == Coverage::kNotCovered) return NatAnswer{Nat::kUnknown, NatReason::kNotCovered, {}};
  return NatAnswer{Nat::kUnknown, coverage == Coverage::kGap ? NatReason::kGap : NatReason::kNoEntry, {}};
}

}  // namespace portbook
