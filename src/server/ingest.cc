#include "server/ingest.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "book/own_records.h"
#include "server/caller.h"
#include "server/ingest_session.h"

namespace portbook {

namespace {

constexpr int kAcceptAgainMs = 100;

}  // namespace

Ingest::Ingest(Book& book, Credentials& credentials, IngestOptions options, Clock& clock, FileDescriptor listener,
               FileDescriptor for_others, FileDescriptor wake)
    : book_(book),
      credentials_(credentials),
      options_(std::move(options)),
      clock_(clock),
      listener_(std::move(listener)),
      for_others_(std::move(for_others)),
      wake_(std::move(wake)),
      begun_from_(newest_record()) {}

// Capture holds records back for a moment, so the newest one that has come says this much about the ones before it.
TimeNs Ingest::newest_record() const {
  const View view = book_.view();
  Record record;
  TimeNs newest = clock_.now();
  if (view.size() > view.first_index() && view.read(view.size() - 1, record) && record.has(Field::kTime)) newest = record.time();
  return newest - std::min(newest, kHeldBackByAgentNs);
}

Result<std::unique_ptr<Ingest>> Ingest::bind(Book& book, Credentials& credentials, IngestOptions options, Clock& clock,
                                             FileDescriptor for_others) {
  auto listener = listen_unix(options.socket, options.mode);
  if (!listener) return std::unexpected(listener.error());
  auto wake = make_wake_fd();
  if (!wake) return std::unexpected(wake.error());
  return std::unique_ptr<Ingest>(
      new Ingest(book, credentials, std::move(options), clock, std::move(*listener), std::move(for_others), std::move(*wake)));
}

Ingest::~Ingest() {
  stopping_ = true;
  portbook::wake(wake_);
  if (thread_.joinable()) thread_.join();
  unlink(options_.socket.c_str());
}

void Ingest::run() {
  thread_ = std::thread([this] { accept_until_stopped(); });
}

void Ingest::accept_until_stopped() {
  while (!stopping_) {
    std::array<pollfd, 3> fds{pollfd{listener_.get(), POLLIN, 0}, pollfd{for_others_.get(), POLLIN, 0},
                              pollfd{wake_.get(), POLLIN, 0}};
    poll(fds.data(), fds.size(), 1000);
    drain_wakes(wake_);
    join_finished(false);
    if ((fds[0].revents & POLLIN) != 0) accept_one(listener_);
    if ((fds[1].revents & POLLIN) != 0) accept_one(for_others_);
  }
  for (const Running& one : running_) one.session->stop();
  join_finished(true);
}

void Ingest::join_finished(bool all) {
  // Asked once of each: one that finishes meanwhile is joined the next time.
  for (auto one = running_.begin(); one != running_.end();) {
    if (!all && !one->session->finished()) {
      ++one;
      continue;
    }
    one->thread.join();
    one = running_.erase(one);
  }
}

// The agent parses what others can shape: it may speak for its own host, and change nothing about who else may write.
PeerRights Ingest::rights_of(uint32_t uid, const FileDescriptor& listener) const {
  if (&listener == &for_others_) return {};
  const bool owns_the_book = uid == 0 || uid == geteuid();
  return {.own_host = owns_the_book || uid == options_.agent_uid,
          .own_logs = owns_the_book || uid == options_.logs_uid,
          .enrol = owns_the_book};
}

void Ingest::accept_one(const FileDescriptor& listener) {
  FileDescriptor fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    // Out of descriptors, the one who waits would be told again at once: those of agents that leave come back.
    pollfd woken{wake_.get(), POLLIN, 0};
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) poll(&woken, 1, kAcceptAgainMs);
    return;
  }
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  const PeerRights rights = rights_of(peer.uid, listener);
  std::string refusal;
  {
    const std::lock_guard lock(mutex_);
    ++statistics_.connections;
    if (running_.size() >= kAgentsMax) refusal = fmt::format("more than {} agents are connected", kAgentsMax);
    if (rights.none() && strangers_ >= kAgentsOfStrangersMax)
      refusal = "too many connections without a credential are open; try again";
    if (!refusal.empty()) ++statistics_.refused_connections;
    if (refusal.empty() && rights.none()) ++strangers_;
  }
  auto wake = make_wake_fd();
  if (!refusal.empty() || !wake) {
    Bytes out;
    size_t at = 0;
    append_message(out, ByeMessage{ByeCode::kLimit, refusal});
    (void)write_some(fd, out, at);
    return;
  }
  auto session = std::make_unique<Session>(*this, std::move(fd), std::move(*wake), peer.uid, peer.pid, rights);
  session->counted_as_stranger_ = rights.none();
  Session* raw = session.get();
  running_.push_back({std::move(session), std::thread([raw] { raw->run(); })});
}

std::optional<std::string> Ingest::claim(const std::string& source, const Session& session) {
  const std::lock_guard lock(mutex_);
  const auto [held, is_new] = claims_.try_emplace(source, &session);
  if (is_new || held->second == &session) return std::nullopt;
  return fmt::format("{} is still written by an earlier connection, of process {} of {}", source, held->second->pid(),
                     user_name(held->second->uid()));
}

void Ingest::release_claims(const Session& session) {
  const std::lock_guard lock(mutex_);
  std::erase_if(claims_, [&](const auto& one) { return one.second == &session; });
  // The map of agents stays bounded: hosts are enrolled, and those that are gone longest are forgotten.
  while (agents_.size() > kAgentsRemembered) {
    const auto oldest =
        std::ranges::min_element(agents_, {}, [](const auto& one) { return one.second.connected ? UINT64_MAX : one.second.since; });
    if (oldest->second.connected) break;
    agents_.erase(oldest);
  }
}

std::vector<AgentStatus> Ingest::agents() const {
  std::map<std::string, AgentStatus, std::less<>> all;
  for (const Credential& enrolled : credentials_.list()) {
    AgentStatus awaited;
    awaited.host = enrolled.host;
    awaited.awaited = true;
    awaited.since = enrolled.enrolled;
    all.emplace(enrolled.host, std::move(awaited));
  }
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [host, status] : agents_) all.insert_or_assign(host, status);
  }
  std::vector<AgentStatus> listed;
  for (auto& [host, status] : all) listed.push_back(std::move(status));
  return listed;
}

Absences Ingest::absences() const {
  const std::lock_guard lock(mutex_);
  Absences absences;
  absences.others = begun_from_;
  for (const auto& [host, status] : agents_) {
    absences.agents.emplace(host, status.behind_since);
    absences.told.insert(status.told.begin(), status.told.end());
  }
  return absences;
}

IngestStatistics Ingest::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

bool Ingest::wait_for_own_agent(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] {
    const auto own = agents_.find(options_.host);
    return own != agents_.end() && own->second.capturing;
  });
}

Status Ingest::write_admin(std::string_view action, const std::string& message, uint32_t uid) {
  const std::string source = options_.host + "/agents";
  Record record;
  record.set(Field::kKind, Kind::kAdmin);
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kTime, clock_.now());
  record.set(Field::kClockState, machine_clock_state());
  record.set(Field::kHost, std::string_view(options_.host));
  record.set(Field::kAction, action);
  record.set(Field::kMessage, std::string_view(message));
  record.set(Field::kUid, uint64_t{uid});
  record.set(Field::kPrincipal, std::string_view(user_name(uid)));
  BatchBuilder builder(source, book_.last_seq(source) + 1);
  builder.add(record);
  const auto receipt = book_.append(builder.take());
  return receipt ? Status() : Status(std::unexpected(receipt.error()));
}

Result<std::string> Ingest::enrolment(const EnrolmentRequest& request, uint32_t uid) {
  if (request.action == EnrolmentAction::kList) return credentials_text(credentials_.list());
  const std::lock_guard lock(admin_mutex_);
  if (const auto reason = book_.read_only_reason()) return fail(ErrorCode::kUnavailable, "the book is read-only: " + *reason);
  const std::string host(request.host);
  if (request.action == EnrolmentAction::kRevoke) {
    if (Status revoked = credentials_.revoke(host); !revoked) return std::unexpected(revoked.error());
    ++revocations_;
    const std::string message = fmt::format("The agent of {} may not write to this book any more.", host);
    // Taken back at once: that must not wait for a full disk.
    if (Status written = write_admin("agent revoked", message, uid); !written)
      return fail(written.error().code, fmt::format("{} The book could not record it: {}", message, written.error().message));
    return message;
  }
  if ((request.vantages & ~kAgentVantages) != 0 || request.vantages == 0)
    return fail(ErrorCode::kBadInput, fmt::format("an agent may write {}", vantages_text(kAgentVantages)));
  if (host == options_.host)
    return fail(ErrorCode::kBadInput, fmt::format("{} is this book's own host; its agent needs no token", host));
  if (Status good = credentials_.check(host); !good) return std::unexpected(good.error());
  const std::string message = fmt::format("An agent of {} may write {} to this book; the SHA-256 of its token begins with {}.",
                                          host, vantages_text(request.vantages), hex(request.token_hash).substr(0, 16));
  // Nobody is let in of whom the book could not say so.
  if (Status written = write_admin("agent enrolled", message, uid); !written) return std::unexpected(written.error());
  if (Status enrolled = credentials_.enrol({host, request.token_hash, request.vantages, clock_.now()}); !enrolled) {
    (void)write_admin("agent not enrolled", fmt::format("The agent of {} was not enrolled: {}.", host, enrolled.error().message),
                      uid);
    return std::unexpected(enrolled.error());
  }
  ++revocations_;
  return message;
}

}  // namespace portbook
