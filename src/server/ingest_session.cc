#include "server/ingest_session.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "book/import.h"
#include "server/caller.h"

namespace portbook {

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kReadBytes = 256 * 1024;
constexpr size_t kToldMax = 4 * kShipSourcesMax;  // sources of one host, over its connections
constexpr size_t kOutBytesMax = 256 * 1024;       // answers that an agent does not read

ShipCode code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadInput:
    case ErrorCode::kLimit: return ShipCode::kRefused;
    case ErrorCode::kDenied: return ShipCode::kDenied;
    case ErrorCode::kNewer: return ShipCode::kNewer;
    default: return ShipCode::kAgain;
  }
}

bool is_of_logs(std::string_view host) {
  return !logs_suffix(host).empty();
}

}  // namespace

Ingest::Session::Session(Ingest& ingest, FileDescriptor fd, FileDescriptor wake, uint32_t uid, int32_t pid, PeerRights rights)
    // Shared: the book may answer when the connection is gone, and the connection may wait for the book.
    : ingest_(ingest),
      fd_(std::move(fd)),
      answers_(std::make_shared<Answers>()),
      uid_(uid),
      pid_(pid),
      rights_(rights),
      accepted_(SteadyClock::now()),
      heard_(accepted_) {
  answers_->wake = std::move(wake);
}

void Ingest::Session::run() {
  talk();
  flush();
  shutdown(fd_.get(), SHUT_RDWR);
  wait_for_book();
  ingest_.release_claims(*this);
  if (!host_.empty() && !imports_) {
    change_status([&](AgentStatus& status) {
      // Another one of this host may have come in between, or be there beside it.
      status.connected = --status.connections > 0;
      const TimeNs heard_until = status.last_batch.value_or(status.since);
      const TimeNs behind = told_until(status).value_or(heard_until - std::min(heard_until, kHeldBackByAgentNs));
      if (!said_bye_ && !is_of_logs(host_)) status.behind_since = std::min(behind, status.behind_since.value_or(behind));
      if (status.connected) return;
      status.stopped = said_bye_;
      status.since = ingest_.clock_.now();
    });
  }
  if (counted_as_stranger_) {
    const std::lock_guard lock(ingest_.mutex_);
    --ingest_.strangers_;
  }
  finished_ = true;
  portbook::wake(ingest_.wake_);
}

void Ingest::Session::talk() {
  while (!ingest_.stopping_) {
    collect_answers();
    // Who takes no answers, or has enough under way, is not read from: its own queue fills, nobody else's.
    const bool reads = pending_held_bytes_ < kShipWindowBytes && out_.size() - out_at_ < kOutBytesMax;
    std::array<pollfd, 2> fds{pollfd{fd_.get(), static_cast<short>((reads ? POLLIN : 0) | (out_.empty() ? 0 : POLLOUT)), 0},
                              pollfd{answers_->wake.get(), POLLIN, 0}};
    poll(fds.data(), fds.size(), 1000);
    if (fds[1].revents != 0) drain_wakes(answers_->wake);
    if (!out_.empty() && (fds[0].revents & POLLOUT) != 0 && write_some(fd_, out_, out_at_) == Moved::kClosed) return;
    if ((fds[0].revents & (POLLERR | POLLNVAL)) != 0) return;
    if (reads && (fds[0].revents & (POLLIN | POLLHUP)) != 0) {
      if (!read_and_handle()) return;
    } else if ((fds[0].revents & POLLHUP) != 0) {
      return;
    }
    if (revoked()) {
      end(ByeCode::kDenied, fmt::format("the token of {} was revoked", host_));
      return;
    }
    const auto silent = SteadyClock::now() - heard_;
    // From the beginning: who sends a byte now and then would hold a place for an hour.
    if (!welcomed_ && SteadyClock::now() - accepted_ > kHelloPatience) {
      end(ByeCode::kLimit, fmt::format("no hello came within {} s", kHelloPatience.count()));
      return;
    }
    // A book that does not read hears nothing either.
    if (reads && silent > kAgentSilenceMax) {
      end(ByeCode::kLimit, fmt::format("the agent said nothing for {} s", kAgentSilenceMax.count()));
      return;
    }
  }
  end(ByeCode::kStopping, "the book is stopping");
}

// Whether the credential that let this agent in is gone.
bool Ingest::Session::revoked() {
  const uint64_t revocations = ingest_.revocations_;
  if (!welcomed_ || revocations == revocations_seen_) return false;
  revocations_seen_ = revocations;
  if (credential_.token_hash == Hash{}) return false;
  const auto known = ingest_.credentials_.list();
  return std::ranges::none_of(known, [&](const Credential& one) { return one.token_hash == credential_.token_hash; });
}

// What was handed to the book is its to answer; the sources stay claimed so long, so that nobody asks for their last number too
// early.
void Ingest::Session::wait_for_book() {
  while (!pending_.empty()) {
    collect_answers();
    if (pending_.empty()) return;
    pollfd woken{answers_->wake.get(), POLLIN, 0};
    poll(&woken, 1, 1000);
    drain_wakes(answers_->wake);
  }
}

bool Ingest::Session::read_and_handle() {
  const size_t bytes_max = welcomed_ ? std::max(kReadBytes, in_needed_ - std::min(in_needed_, in_.size())) : kShipHelloBytesMax;
  const Moved moved = read_some(fd_, in_, bytes_max);
  if (moved == Moved::kClosed) return false;
  if (moved == Moved::kSome) heard_ = SteadyClock::now();
  size_t at = 0;
  while (true) {
    const DecodedMessage decoded = decode_message(ByteView(in_).subspan(at));
    if (const auto* bad = std::get_if<Malformed>(&decoded))
      return end(ByeCode::kMalformed, fmt::format("the agent sent {}", bad->reason));
    if (const auto* more = std::get_if<NeedMore>(&decoded)) {
      in_needed_ = more->bytes_min;
      break;
    }
    const auto& whole = std::get<WholeMessage>(decoded);
    if (!handle(whole.message)) return false;
    at += whole.length;
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(at));
  if (!welcomed_ && in_needed_ > kShipHelloBytesMax) return end(ByeCode::kMalformed, "the agent did not begin with a hello");
  return true;
}

bool Ingest::Session::handle(const ShipMessage& message) {
  if (!welcomed_) {
    if (const auto* of = std::get_if<AgentHello>(&message)) return hello(*of);
    if (const auto* of = std::get_if<EnrolmentRequest>(&message)) return enrolment(*of);
    return end(ByeCode::kMalformed, "the agent did not begin with a hello");
  }
  if (const auto* of = std::get_if<ShippedBatch>(&message)) return batch(*of);
  if (const auto* of = std::get_if<SourceOpen>(&message)) return open(*of);
  if (const auto* of = std::get_if<ReportMessage>(&message)) {
    report(*of);
    return true;
  }
  if (const auto* of = std::get_if<ToldMessage>(&message)) return told(*of);
  if (const auto* of = std::get_if<PingMessage>(&message)) {
    append_message(out_, PongMessage{of->number});
    return true;
  }
  if (const auto* of = std::get_if<ByeMessage>(&message)) {
    said_bye_ = of->code == ByeCode::kStopping && of->reason.empty();
    return false;
  }
  return end(ByeCode::kMalformed, "the agent sent what only a book says");
}

bool Ingest::Session::end(ByeCode code, const std::string& reason) {
  append_message(out_, ByeMessage{code, reason});
  if (code != ByeCode::kStopping) {
    const std::lock_guard lock(ingest_.mutex_);
    ++ingest_.statistics_.refused_connections;
  }
  return false;
}

Result<Credential> Ingest::Session::credential_of(const AgentHello& message) const {
  const std::string& own_host = ingest_.options_.host;
  const Credential own_credential{own_host, {}, kAgentVantages, 0};
  if (!message.token.empty()) {
    if (!ingest_.options_.own_token.empty() && token_hash(message.token) == token_hash(ingest_.options_.own_token))
      return own_credential;
    auto credential = ingest_.credentials_.find(message.token);
    if (!credential) {
      return fail(ErrorCode::kDenied, fmt::format("the token is not one that this book knows, or was revoked; make one with: "
                                                  "portbook enroll {}",
                                                  message.host));
    }
    return *credential;
  }
  if (!(is_of_logs(message.host) ? rights_.own_logs : rights_.own_host)) {
    return fail(ErrorCode::kDenied,
                fmt::format("user {} may not write to this book without a token; make one with: portbook enroll {}",
                            user_name(uid_), message.host));
  }
  return own_credential;
}

bool Ingest::Session::hello(const AgentHello& message) {
  if (message.version != kShipVersion) {
    return end(ByeCode::kVersion,
               fmt::format("the agent speaks version {} of the protocol, this book version {}", message.version, kShipVersion));
  }
  if (message.purpose == ShipPurpose::kImport) return import_hello(message);
  const auto credential = credential_of(message);
  if (!credential) return end(ByeCode::kDenied, credential.error().message);
  const std::string_view suffix = logs_suffix(message.host);
  const bool of_logs = !suffix.empty() && message.host == credential->host + std::string(suffix);
  if (!of_logs && message.host != credential->host) {
    return end(ByeCode::kDenied,
               fmt::format("the agent says that its host is \"{}\", but {} \"{}\"; enrol it with: portbook enroll {}", message.host,
                           message.token.empty() ? "this book's own host is" : "its token is for", credential->host, message.host));
  }
  allowance_ = of_logs ? logs_allowance(credential->host, suffix) : credential->allowance();
  credential_ = *credential;
  host_ = allowance_.host;
  welcome();
  change_status([&](AgentStatus& status) {
    // What logs hold makes no answer complete.
    if (status.since == 0 && !of_logs) status.behind_since = ingest_.begun_from_;
    status.connected = true;
    ++status.connections;
    status.stopped = false;
    status.capturing = false;
    status.uid = uid_;
    status.pid = pid_;
    status.program = message.program;
    status.since = ingest_.clock_.now();
    status.lines.clear();
    status.numbers.clear();
  });
  return true;
}

void Ingest::Session::welcome() {
  welcomed_ = true;
  if (counted_as_stranger_) {
    const std::lock_guard lock(ingest_.mutex_);
    --ingest_.strangers_;
    counted_as_stranger_ = false;
  }
  BookWelcome welcome;
  welcome.program = ingest_.options_.program;
  const std::string origin = ingest_.book_.origin();
  welcome.origin = origin;
  append_message(out_, welcome);
}

// Whoever owns the book could import into its folder as well.
bool Ingest::Session::import_hello(const AgentHello& message) {
  if (!rights_.enrol) {
    return end(ByeCode::kDenied, fmt::format("user {} may not import into this book: root and {} may, at its own socket",
                                             user_name(uid_), user_name(geteuid())));
  }
  if (message.host.empty()) return end(ByeCode::kMalformed, "an import names a host");
  imports_ = true;
  host_ = std::string(message.host) + "/import";
  allowance_ = {host_, kImportVantages | kVouchedVantages, kImportKinds, true};
  welcome();
  return true;
}

bool Ingest::Session::enrolment(const EnrolmentRequest& message) {
  if (!rights_.enrol) {
    const std::string text = fmt::format("user {} may not change who writes to this book: root and {} may, at its own socket",
                                         user_name(uid_), user_name(geteuid()));
    append_message(out_, EnrolmentAnswer{ShipCode::kDenied, text});
    return false;
  }
  const auto done = ingest_.enrolment(message, uid_);
  const std::string text = done ? *done : done.error().message;
  append_message(out_, EnrolmentAnswer{done ? ShipCode::kTaken : code_of(done.error().code), text});
  return false;
}

bool Ingest::Session::open(const SourceOpen& message) {
  SourceOpened opened;
  opened.stream = message.stream;
  Stream& stream = streams_[message.stream];
  const std::string source(message.source);
  if (stream.open) return end(ByeCode::kMalformed, "the agent opened one stream twice");
  std::string reason;
  if (Status allowed = allowance_.check_source(source); !allowed) {
    opened.code = ShipCode::kDenied;
    reason = allowed.error().message;
  } else if (source == host_ + "/book" || source == host_ + "/questions" || source == host_ + "/agents") {
    opened.code = ShipCode::kDenied;
    reason = fmt::format("{} is a source of the book itself", source);
  } else if (auto held = ingest_.claim(source, *this)) {
    opened.code = ShipCode::kAgain;
    reason = *held;
  } else {
    stream = {source, true, false};
    opened.last_seq = ingest_.book_.last_seq(source);
  }
  opened.reason = reason;
  append_message(out_, opened);
  return true;
}

bool Ingest::Session::batch(const ShippedBatch& message) {
  const Stream& stream = streams_[message.stream];
  if (!stream.open) return end(ByeCode::kMalformed, "the agent sent a batch of a source that it did not open");
  const uint64_t number = next_number_++;
  pending_.push_back({number, message.stream, message.seq_first, message.count, message.bytes.size(), std::nullopt});
  pending_held_bytes_ += held_bytes(message.bytes.size(), message.count);
  auto checked = check_batch({stream.source, message.seq_first, message.count, Bytes(message.bytes.begin(), message.bytes.end())},
                             &allowance_);
  if (!checked) {
    // A batch that may not be never will be: the agent puts a gap there and goes on behind it.
    const Error& error = checked.error();
    pending_.back().outcome = fail(error.code == ErrorCode::kDenied ? ErrorCode::kBadInput : error.code, error.message);
    return true;
  }
  ingest_.book_.submit_checked(std::move(*checked), [answers = answers_, number](const Result<Receipt>& receipt) {
    {
      const std::lock_guard lock(answers->mutex);
      answers->come.emplace_back(number, receipt);
    }
    portbook::wake(answers->wake);
  });
  return true;
}

void Ingest::Session::collect_answers() {
  std::vector<std::pair<uint64_t, Result<Receipt>>> come;
  {
    const std::lock_guard lock(answers_->mutex);
    come.swap(answers_->come);
  }
  for (auto& [number, outcome] : come) {
    pending_[number - pending_.front().number].outcome = std::move(outcome);  // each is answered once
  }
  while (!pending_.empty() && pending_.front().outcome) {
    answer(pending_.front());
    pending_held_bytes_ -= held_bytes(pending_.front().bytes, pending_.front().count);
    pending_.pop_front();
  }
}

void Ingest::Session::answer(const Pending& pending) {
  const Result<Receipt>& outcome = *pending.outcome;
  BatchAnswer answer;
  answer.stream = pending.stream;
  answer.seq_first = pending.seq_first;
  answer.last_seq = ingest_.book_.last_seq(streams_[pending.stream].source);
  if (!outcome) {
    answer.code = code_of(outcome.error().code);
    if (answer.code == ShipCode::kRefused && answer.last_seq + 1 != pending.seq_first) answer.code = ShipCode::kSequence;
    answer.reason = outcome.error().message;
  }
  append_message(out_, answer);
  if (imports_) return;
  change_status([&](AgentStatus& status) {
    if (answer.code == ShipCode::kTaken) {
      status.last_batch = ingest_.clock_.now();
      ++status.batches;
      status.records += pending.count;
      ++ingest_.statistics_.batches;
      ingest_.statistics_.records += pending.count;
      ingest_.statistics_.bytes += pending.bytes;
    } else if (answer.code != ShipCode::kAgain) {
      ++status.refused;
      ++ingest_.statistics_.refused_batches;
      status.refusal = answer.reason;
    }
  });
}

void Ingest::Session::report(const ReportMessage& message) {
  if (imports_) return;
  change_status([&](AgentStatus& status) {
    status.capturing = message.capturing;
    status.spool_bytes = message.spool_bytes;
    status.spool_bytes_max = message.spool_bytes_max;
    if (delivers(status)) status.behind_since.reset();
    status.lines.clear();
    status.numbers.clear();
    ReportLine line;
    for (ByteView lines = message.lines; next_line(lines, line);) {
      status.lines.push_back({std::string(line.what), std::string(line.state), std::string(line.means), std::string(line.detail)});
    }
    ReportNumber number;
    for (ByteView numbers = message.numbers; next_number(numbers, number);) status.numbers.emplace_back(number.name, number.value);
  });
  ingest_.changed_.notify_all();
}

bool Ingest::Session::told(const ToldMessage& message) {
  if (imports_) return end(ByeCode::kMalformed, "what is imported makes nothing complete");
  Stream& stream = streams_[message.stream];
  if (!stream.open) return end(ByeCode::kMalformed, "the agent spoke of a source that it did not open");
  stream.told = true;
  change_status([&](AgentStatus& status) {
    // Names are the agent's to choose, within its host's.
    if (status.told.size() >= kToldMax && !status.told.contains(stream.source)) status.told.clear();
    status.told.insert_or_assign(stream.source, message.until);
    if (delivers(status)) status.behind_since.reset();
  });
  return true;
}

bool Ingest::Session::delivers(const AgentStatus& status) const {
  const TimeNs now = ingest_.clock_.now();
  return status.capturing && status.connections == 1 && all_told() && told_until(status).value_or(now) + kHeldBackByAgentNs >= now;
}

bool Ingest::Session::all_told() const {
  return std::ranges::none_of(streams_, [](const Stream& stream) { return stream.open && !stream.told; });
}

std::optional<TimeNs> Ingest::Session::told_until(const AgentStatus& status) const {
  if (!all_told()) return std::nullopt;
  std::optional<TimeNs> until;
  for (const Stream& stream : streams_) {
    const auto told = stream.open ? status.told.find(stream.source) : status.told.end();
    if (told != status.told.end()) until = std::min(until.value_or(told->second), told->second);
  }
  return until;
}

// What is still to be said, to one that may not read it.
void Ingest::Session::flush() {
  while (!out_.empty()) {
    pollfd writable{fd_.get(), POLLOUT, 0};
    if (poll(&writable, 1, 100) <= 0 || write_some(fd_, out_, out_at_) != Moved::kSome) return;
  }
}

void Ingest::Session::change_status(const std::function<void(AgentStatus&)>& change) {
  const std::lock_guard lock(ingest_.mutex_);
  AgentStatus& status = ingest_.agents_[host_];
  status.host = host_;
  change(status);
}

}  // namespace portbook
