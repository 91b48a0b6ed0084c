#include "server/records_intake.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "book/import.h"
#include "query/json_writer.h"
#include "record/cbor.h"
#include "server/api.h"

namespace portbook {

namespace {

constexpr std::string_view kBearer = "Bearer ";
constexpr std::string_view kNdjson = "application/x-ndjson";
constexpr std::string_view kCborSequence = "application/cbor-seq";
constexpr std::chrono::milliseconds kAskAgain{2};
constexpr uint64_t kSmallestReservation = 4096;

HttpResponse refused(int status, const Error& error, std::string_view retry_after = "") {
  HttpResponse response = error_response(error);
  response.status = status;
  if (!retry_after.empty()) response.headers.emplace_back("Retry-After", std::string(retry_after));
  return response;
}

HttpResponse without_credential(const HttpRequest& request) {
  HttpResponse response =
      refused(401, {ErrorCode::kDenied, request.authorization.empty()
                                            ? "records come in with a token: Authorization: Bearer TOKEN, of portbook enroll NAME"
                                            : "this token writes nothing here: it is not known, or was taken back"});
  response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"portbook\"");
  return response;
}

std::string_view media_type(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (content_type.ends_with(' ')) content_type.remove_suffix(1);
  return content_type;
}

// Makes the records of a body, one after the other, into a batch. Those up to `already` are read too, and left out.
class Body {
 public:
  Body(const Allowance& allowance, std::string_view host, uint64_t first, uint64_t already, BatchBuilder& builder)
      : host_(host), seq_(first), already_(already), line_(allowance.vantages), builder_(builder) {}

  // Errors: kBadInput and kDenied, naming line and member; kLimit.
  Status read_lines(std::string_view text) {
    for (uint64_t number = 1; !text.empty(); ++number) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string_view one = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      Status good = line_.read(one, record_);
      if (good) good = add();
      if (!good) return fail_in(fmt::format("line {}", number), good);
    }
    return {};
  }
  // Likewise, naming the record by its place.
  Status read_sequence(ByteView bytes) {
    for (uint64_t number = 1; !bytes.empty(); ++number) {
      const auto length = decode_first(bytes, record_);
      Status good = length ? line_.check(record_) : Status(std::unexpected(length.error()));
      if (good) good = add();
      if (!good) return fail_in(fmt::format("record {}", number), good);
      bytes = bytes.subspan(*length);
    }
    return {};
  }
  [[nodiscard]] uint32_t count() const { return count_; }

 private:
  Status add() {
    if (count_ == kRecordsOfRequestMax)
      return fail(ErrorCode::kLimit, fmt::format("a request has at most {} records", kRecordsOfRequestMax));
    const std::string_view host = record_.text_or(Field::kHost, host_);
    if (host != host_) {
      return fail(
          ErrorCode::kDenied,
          fmt::format("member \"host\": it is \"{}\" where this token speaks for {} alone; it may be left out", host, host_));
    }
    record_.set(Field::kHost, host_);
    ++count_;
    if (seq_++ > already_) builder_.add(record_);
    return {};
  }

  const std::string_view host_;
  uint64_t seq_;
  const uint64_t already_;
  uint32_t count_ = 0;
  ImportLine line_;
  Record record_;
  BatchBuilder& builder_;
};

}  // namespace

Allowance records_allowance(const Credential& credential) {
  return {credential.host + "/api", kImportVantages | (credential.vantages & kVouchedVantages), kImportKinds, true};
}

struct RecordsIntake::Shared {
  std::mutex mutex;
  std::map<std::string, size_t, std::less<>> waiting_bytes;  // by credential, of what is not answered; guarded, as the next
  size_t all_waiting_bytes = 0;
  std::set<std::string, std::less<>> busy;  // sources with a batch under way
};

// One request from its head to its answer; what it reserved comes back with it.
struct RecordsIntake::Waiting {
  Waiting(std::shared_ptr<Shared> the_shared, std::string the_host, size_t the_bytes)
      : shared(std::move(the_shared)), host(std::move(the_host)), bytes(the_bytes) {}
  ~Waiting() {
    const std::lock_guard lock(shared->mutex);
    shared->all_waiting_bytes -= bytes;
    const auto of_host = shared->waiting_bytes.find(host);
    if ((of_host->second -= bytes) == 0) shared->waiting_bytes.erase(of_host);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  const std::shared_ptr<Shared> shared;
  const std::string host;
  const size_t bytes;
  bool submitted = false;  // by the one worker that has the request
  std::string source;
  uint64_t first = 0;
  uint32_t already = 0;
  uint32_t count = 0;
  std::optional<Result<Receipt>> outcome;  // guarded by shared->mutex
};

RecordsIntake::RecordsIntake(Book& book, const Credentials& credentials)
    : book_(book), credentials_(credentials), shared_(std::make_shared<Shared>()) {}

std::optional<Credential> RecordsIntake::credential_of(const HttpRequest& request) const {
  const std::string_view shown = request.authorization;
  if (!shown.starts_with(kBearer)) return std::nullopt;
  return credentials_.find(shown.substr(kBearer.size()));
}

BodyPass RecordsIntake::admit(const HttpRequest& head, std::optional<uint64_t> bytes) {
  if (head.path != kRecordsPath) return {};
  const auto credential = credential_of(head);
  if (!credential) return {.refusal = without_credential(head)};
  if (bytes.value_or(0) > kRecordsBodyBytesMax) {
    return {.refusal = refused(413, {ErrorCode::kLimit, fmt::format("a request has at most {} bytes: send the records in several",
                                                                    kRecordsBodyBytesMax)})};
  }
  const size_t reserved = std::max(bytes.value_or(kRecordsBodyBytesMax), kSmallestReservation);
  const std::lock_guard lock(shared_->mutex);
  const auto of_host = shared_->waiting_bytes.find(credential->host);
  if (of_host != shared_->waiting_bytes.end() && of_host->second + reserved > kRecordsWaitingBytesMax) {
    return {.refusal = refused(429,
                               {ErrorCode::kLimit, fmt::format("{} has {} bytes under way, and at most {}: wait for the answers",
                                                               credential->host, of_host->second, kRecordsWaitingBytesMax)},
                               "1")};
  }
  if (shared_->all_waiting_bytes + reserved > kRecordsAllWaitingBytesMax) {
    return {.refusal = refused(503, {ErrorCode::kUnavailable, "the book has enough to do: send it again"}, "1")};
  }
  shared_->all_waiting_bytes += reserved;
  shared_->waiting_bytes[credential->host] += reserved;
  return {.bytes_max = kRecordsBodyBytesMax, .held = std::make_shared<Waiting>(shared_, credential->host, reserved)};
}

HttpResponse RecordsIntake::answer(const HttpRequest& request) {
  if (request.method != "POST") {
    HttpResponse response = refused(405, {ErrorCode::kBadInput, "this answers POST alone"});
    response.headers.emplace_back("Allow", "POST");
    return response;
  }
  const auto credential = credential_of(request);
  if (!credential) return without_credential(request);
  const auto waiting = std::static_pointer_cast<Waiting>(request.held);
  if (!waiting) return refused(411, {ErrorCode::kBadInput, "there is no body: a request has one record or more"});
  if (!waiting->submitted) return submit(request, *credential, waiting);
  const std::lock_guard lock(shared_->mutex);
  HttpResponse response;
  if (!waiting->outcome) {
    response.ask_again = kAskAgain;
    return response;
  }
  const Result<Receipt>& outcome = *waiting->outcome;
  if (!outcome) {
    const bool refusal = outcome.error().code == ErrorCode::kBadInput;
    return refusal ? error_response(outcome.error()) : refused(503, outcome.error(), "5");
  }
  Json json(response.body);
  json.open('{');
  json.text("source", waiting->source);
  json.number("first", waiting->first);
  json.number("last", waiting->first + waiting->count - 1);
  json.number("taken", waiting->count - waiting->already);
  json.number("already", waiting->already);
  json.close('}');
  response.body += "\n";
  return response;
}

HttpResponse RecordsIntake::submit(const HttpRequest& request, const Credential& credential,
                                   const std::shared_ptr<Waiting>& waiting) {
  const std::string_view name = request.param("source").value_or("records");
  if (!is_credential_name(name) || name.size() > kRecordsSourceBytesMax) {
    return error_response({ErrorCode::kBadInput,
                           fmt::format("source: up to {} letters, digits, dots, dashes and underscores", kRecordsSourceBytesMax)});
  }
  const auto given = number_param(request, "first", 0, 1, kSourceSeqMax);
  if (!given) return error_response(given.error());
  const std::string_view type = media_type(request.content_type);
  if (type != kNdjson && type != kCborSequence)
    return refused(415, {ErrorCode::kBadInput, fmt::format("Content-Type: {} or {}", kNdjson, kCborSequence)});
  if (!request.content_encoding.empty() && request.content_encoding != "identity")
    return refused(415, {ErrorCode::kBadInput, "Content-Encoding: a body is not compressed"});
  if (const auto stall = book_.stalled()) return refused(503, {ErrorCode::kUnavailable, "the book waits: " + stall->reason}, "5");

  const Allowance allowance = records_allowance(credential);
  waiting->source = fmt::format("{}/{}", allowance.host, name);
  {
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->busy.insert(waiting->source).second) {
      HttpResponse later;
      later.ask_again = kAskAgain;
      return later;
    }
  }
  const auto free_source = [shared = shared_, source = waiting->source] {
    const std::lock_guard lock(shared->mutex);
    shared->busy.erase(source);
  };
  const uint64_t last = book_.last_seq(waiting->source);
  waiting->first = *given == 0 ? last + 1 : *given;
  if (waiting->first > last + 1) {
    free_source();
    return refused(409, {ErrorCode::kBadInput, fmt::format("first: the book has {} records of {}, so the next is number {}", last,
                                                           waiting->source, last + 1)});
  }
  BatchBuilder builder(waiting->source, last + 1);
  Body body(allowance, credential.host, waiting->first, last, builder);
  Status good = type == kNdjson ? body.read_lines(request.body) : body.read_sequence(as_bytes(request.body));
  if (good && body.count() == 0) good = fail(ErrorCode::kBadInput, "the body holds no record");
  waiting->count = body.count();
  waiting->already = body.count() - builder.count();
  if (good && builder.count() == 0) {
    free_source();
    waiting->submitted = true;
    const std::lock_guard lock(shared_->mutex);
    waiting->outcome = Receipt{};
    HttpResponse now;
    now.ask_again = kAskAgain;
    return now;
  }
  Result<CheckedBatch> checked = good ? check_batch(builder.take(), &allowance) : std::unexpected(good.error());
  if (!checked) {
    free_source();
    return error_response(checked.error());
  }
  waiting->submitted = true;
  book_.submit_checked(std::move(*checked), [waiting, free_source](const Result<Receipt>& receipt) {
    free_source();
    const std::lock_guard lock(waiting->shared->mutex);
    waiting->outcome = receipt;
  });
  HttpResponse later;
  later.ask_again = kAskAgain;
  return later;
}

}  // namespace portbook
