#include "capture/nat_table.h"

#include <cstring>
#include <utility>

namespace portbook {

namespace {

// More namespaces that come and go between two looks are told of by the next one.
constexpr size_t kUnknownMax = 4096;

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
  Coverage& coverage = coverage_[netns];
  if (coverage == Coverage::kNoConntrack) coverage = Coverage::kWatched;
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

void NatTable::read_until(uint64_t boot_ns, std::span<const uint32_t> behind) {
  const std::lock_guard lock(mutex_);
  std::unordered_map<uint32_t, uint64_t> still;
  for (const uint32_t netns : behind) {
    const auto before = behind_.find(netns);
    still.emplace(netns, before == behind_.end() ? read_until_ : before->second);
  }
  behind_ = std::move(still);
  read_until_ = boot_ns;
}

void NatTable::notice(uint32_t netns, uint64_t boot_ns) const {
  const std::lock_guard lock(mutex_);
  notice_locked(netns, boot_ns);
}

void NatTable::notice_locked(uint32_t netns, uint64_t boot_ns) const {
  if (netns == 0 || coverage_.contains(netns) || unknown_.size() >= kUnknownMax) return;
  const auto told = told_until_.find(netns);
  if (told != told_until_.end() && told->second >= boot_ns) return;
  unknown_.emplace(netns, boot_ns);
  has_unknown_ = true;
}

std::map<uint32_t, uint64_t> NatTable::take_unknown() {
  const std::lock_guard lock(mutex_);
  has_unknown_ = false;
  auto unknown = std::exchange(unknown_, {});
  std::erase_if(unknown, [&](const auto& one) { return coverage_.contains(one.first); });
  return unknown;
}

void NatTable::told_until(uint32_t netns, uint64_t boot_ns) {
  const std::lock_guard lock(mutex_);
  if (told_until_.size() >= kUnknownMax) told_until_.clear();
  told_until_[netns] = boot_ns;
}

std::optional<NatAnswer> NatTable::ask(const NatQuestion& question, bool final) const {
  const bool out = question.direction == Direction::kOut;
  const Tuple sent{question.local, question.remote};
  const Tuple asked = out ? sent : Tuple{question.remote, question.local};
  const std::lock_guard lock(mutex_);
  const Tracked* found = nullptr;
  const auto original = by_original_.find({question.netns, question.proto, asked});
  if (original != by_original_.end()) found = &original->second;
  if (found == nullptr && !out) {
    // The accepting socket stands behind the translation: it is the reply's source.
    const auto reply = by_reply_.find({question.netns, question.proto, sent});
    if (reply != by_reply_.end()) found = &reply->second;
  }
  const auto behind = behind_.find(question.netns);
  const bool read = (behind == behind_.end() ? read_until_ : behind->second) >= question.tracked_by_boot_ns;
  // An entry outlives its connection: until all is read it may be that of an earlier one between the same ends.
  if (found != nullptr && read) return NatAnswer{found->translated() ? Nat::kTranslated : Nat::kNone, {}, *found};
  const auto because = [](NatReason reason) { return NatAnswer{Nat::kUnknown, reason, {}}; };
  const auto covered = coverage_.find(question.netns);
  const Coverage coverage = covered == coverage_.end() ? Coverage::kNotCovered : covered->second;
  if (coverage == Coverage::kNotPermitted) return because(NatReason::kNotPermitted);
  if (coverage == Coverage::kNotCovered) notice_locked(question.netns, question.tracked_by_boot_ns);
  // What was told by then has been read, and the entry is not among it.
  if (read) {
    if (coverage == Coverage::kNoConntrack) return because(NatReason::kNoConntrack);
    if (coverage == Coverage::kWatched) return because(NatReason::kNoEntry);
  }
  if (!final) return std::nullopt;
  return because(coverage == Coverage::kGap ? NatReason::kGap : NatReason::kNotCovered);
}

}  // namespace portbook
