// What the reader asks the kernel for besides the rings: snapshots, whether its programs still run, whether it knows what is open.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "capture/reader.h"

namespace portbook {

namespace {

constexpr uint64_t kCompareAgainNs = 10 * kNsPerSecond;
constexpr uint64_t kTellEveryNs = 3600 * kNsPerSecond;
constexpr uint64_t kGlanceEveryNs = 5 * kNsPerSecond;
// Of the reader's time at most one part in so many goes into glances.
constexpr uint64_t kGlanceCostShare = 500;
// Less is how far apart two readings of clocks may be.
constexpr int64_t kAsleepNs = 50 * static_cast<int64_t>(kNsPerMs);

}  // namespace

void Reader::list_processes(std::vector<std::string>& missing) {
  processes_.begin_relist(clock_.boot_ns());
  ProcessEventData event;
  const Status listed = programs_->list_processes([&](std::string_view bytes) {
    if (decode_process_event(bytes, event)) processes_.apply(event);
  });
  if (!listed.has_value()) {
    missing.push_back("processes that were there before: " + listed.error().message);
    return;
  }
  // What began meanwhile waits in the ring.
  take_processes();
  processes_.end_relist(clock_.boot_ns());
}

std::vector<std::string> Reader::list_what_is_there() {
  std::vector<std::string> missing;
  const auto note = [&](std::string_view what, const Status& status) {
    if (!status.has_value() && status.error().code != ErrorCode::kNotFound)
      missing.push_back(fmt::format("{} that were there before: {}", what, status.error().message));
  };
  note("owners of sockets", programs_->find_owners());
  note("owners of UDP sockets", programs_->find_datagram_owners());
  std::vector<pb_socket_event> found;
  std::vector<pb_datagram_event> found_datagrams;
  const auto namespaces = operations_.find_network_namespaces();
  if (!namespaces.has_value()) missing.push_back("sockets that were there before: " + namespaces.error().message);
  for (const uint32_t netns : namespaces.value_or(std::vector<uint32_t>())) {
    note("sockets", programs_->list_sockets(netns, [&](const pb_socket_event& one) { found.push_back(one); }));
    note("UDP sockets",
         programs_->list_datagram_sockets(netns, [&](const pb_datagram_event& one) { found_datagrams.push_back(one); }));
  }
  // Listeners first: they tell which connections came in.
  std::ranges::partition(found, [](const pb_socket_event& one) { return (one.flags & PB_LISTENER) != 0; });
  // Programs started meanwhile wait in the ring, and the sockets' owners may be among them.
  take_processes();
  for (const pb_socket_event& one : found) sockets_.apply(one);
  for (const pb_datagram_event& one : found_datagrams) datagrams_->apply(one);
  found_unseen_ = found.size();
  return missing;
}

// Ends a gap in which nothing was told: what could not be listed is unknown from its beginning on until the next snapshot.
void Reader::snapshot_again(uint64_t untold_from_boot_ns) {
  std::vector<std::string> missing;
  list_processes(missing);
  std::ranges::move(list_what_is_there(), std::back_inserter(missing));
  sweep();
  sweep_datagrams(true);
  for (const std::string& what : missing) {
    write_gap({0, untold_from_boot_ns, clock_.boot_ns()}, "the kernel could not be asked what is there now; not known are " + what,
              false);
  }
}

void Reader::check_programs(uint64_t now) {
  const std::vector<std::string> names = programs_->find_detached();
  if (names.empty()) {
    attached_until_ = now;
    return;
  }
  if (detached_cause_.empty()) detached_cause_ = fmt::format("kernel program {} was detached by somebody", fmt::join(names, ", "));
  bool again = true;
  for (const std::string& name : names) again = programs_->attach_again(name).has_value() && again;
  const uint64_t then = clock_.boot_ns();
  if (!again) {
    if (!detached_.exchange(true)) write_gap({0, attached_until_, then}, detached_cause_, false);
    return;
  }
  write_gap({0, attached_until_, then}, std::exchange(detached_cause_, {}));
  detached_ = false;
  snapshot_again(std::exchange(attached_until_, then));
}

// Connections that the kernel has and nobody told of; nothing when it could not be asked. What ended while it was asked is none: it
// is asked twice.
std::optional<std::vector<uint64_t>> Reader::find_unknown(const std::vector<uint64_t>& alive) {
  std::vector<uint64_t> unknown;
  for (const uint64_t cookie : alive) {
    if (!sockets_.is_open(cookie)) unknown.push_back(cookie);
  }
  if (unknown.empty()) return unknown;
  std::vector<uint64_t> still;
  if (!programs_->list_cookies([&](uint64_t cookie) { still.push_back(cookie); }).has_value() || !catch_up()) return std::nullopt;
  std::ranges::sort(still);
  std::erase_if(unknown, [&](uint64_t cookie) { return sockets_.is_open(cookie) || !std::ranges::binary_search(still, cookie); });
  return unknown;
}

// Connections that began before `now`, are open as far as was told, and are not among `alive`, what the kernel had; nothing when it
// could not be asked. Its list shifts while sockets come and go, so that it may lack one that is alive: it is asked again.
std::optional<std::vector<uint64_t>> Reader::find_gone(const std::vector<uint64_t>& alive, uint64_t now) {
  std::vector<uint64_t> gone = sockets_.missing_from(alive, now);
  for (int times = 0; times < kConfirmations && !gone.empty(); ++times) {
    std::vector<uint64_t> again;
    if (!programs_->list_cookies([&](uint64_t cookie) { again.push_back(cookie); }).has_value() || !catch_up()) return std::nullopt;
    std::ranges::sort(again);
    std::erase_if(gone, [&](uint64_t cookie) { return std::ranges::binary_search(again, cookie) || !sockets_.is_open(cookie); });
  }
  return gone;
}

// What no program was told of is soon found gone: then all is compared.
void Reader::glance(uint64_t now) {
  std::vector<uint64_t> alive;
  const bool listed = programs_->list_cookies([&](uint64_t cookie) { alive.push_back(cookie); }).has_value() && catch_up();
  if (listed) {
    std::ranges::sort(alive);
    const auto gone = find_gone(alive, now);
    if (gone && !gone->empty()) next_comparison_ = now;
  }
  const uint64_t end = clock_.boot_ns();
  next_glance_ = end + std::max(kGlanceEveryNs, (end - now) * kGlanceCostShare);
}

void Reader::compare(uint64_t now) {
  if (watch(EventKind::kSocket).sweep_wanted() || detached_) return;
  next_comparison_ = now + kCompareAgainNs;  // unless the kernel answers everything
  std::vector<uint64_t> alive;
  if (!programs_->list_cookies([&](uint64_t cookie) { alive.push_back(cookie); }).has_value() || !catch_up()) return;
  std::ranges::sort(alive);
  const auto unknown = find_unknown(alive);
  if (!unknown) return;
  const auto gone = find_gone(alive, now);
  if (!gone) return;
  if (!list_what_is_there().empty()) return;
  next_comparison_ = now + kCompareEveryNs;
  const uint64_t differences = unknown->size() + gone->size() + found_unseen_;
  Comparison result;
  result.open = alive.size() + found_unseen_;
  result.known = alive.size() - unknown->size();
  result.at_boot_ns = now;
  {
    const std::lock_guard lock(comparison_mutex_);
    result.differences = (comparison_ ? comparison_->differences : 0) + differences;
    comparison_ = result;
  }
  if (differences > 0) {
    write_gap({differences, compared_until_, now},
              "the kernel was compared with what was recorded: connections had begun or ended unseen");
    sweep(*unknown);
  }
  compared_until_ = now;
  if (differences > 0 || now >= next_told_) write_comparison(result);
}

void Reader::write_comparison(const Comparison& comparison) {
  next_told_ = comparison.at_boot_ns + kTellEveryNs;
  Record record;
  record.set(Field::kKind, Kind::kAdmin);
  record.set(Field::kTime, boot_clock_.utc(comparison.at_boot_ns));
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kAction, kComparedWithKernel);
  record.set(Field::kAbout, std::string_view(stream_.source()));
  record.set(Field::kCount, comparison.open);
  record.set(Field::kMessage, fmt::format("{} of {} open connections known", comparison.known, comparison.open));
  boot_clock_.put_quality(record, comparison.at_boot_ns);
  stream_.add(record);
}

std::optional<Reader::Comparison> Reader::comparison() const {
  const std::lock_guard lock(comparison_mutex_);
  return comparison_;
}

// Before the events of a pass are converted: a step or a suspend lies between two looks.
void Reader::watch_clocks() {
  if (boot_clock_.was_set()) sample_clock();
  const uint64_t before = clock_.boot_ns();
  const uint64_t awake = clock_.awake_ns();
  const uint64_t now = clock_.boot_ns();
  // Held up between the readings: they do not belong together.
  if (static_cast<int64_t>(now - before) > kAsleepNs / 4) return;
  const auto asleep = static_cast<int64_t>(now - awake);
  if (awake_at_ != 0 && asleep > asleep_ns_ + kAsleepNs) {
    Record record;
    record.set(Field::kKind, Kind::kClock);
    record.set(Field::kTime, boot_clock_.utc(now));
    record.set(Field::kVantage, Vantage::kBook);
    record.set(Field::kStart, boot_clock_.utc(awake_at_));
    record.set(Field::kEnd, boot_clock_.utc(now));
    record.set(Field::kCause,
               fmt::format("the host was suspended for {} ms", (asleep - asleep_ns_) / static_cast<int64_t>(kNsPerMs)));
    boot_clock_.put_quality(record);
    stream_.add(record);
  }
  asleep_ns_ = asleep;
  awake_at_ = now;
}

}  // namespace portbook
