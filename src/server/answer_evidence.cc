// Evidence: an answer with the bytes and the proof of every record that it names, in one file that is checked without the book.
// docs/formats/evidence.md.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "merkle/proof_file.h"
#include "query/evidence.h"
#include "record/cbor.h"
#include "server/api.h"

namespace portbook {

namespace {

constexpr size_t kEvidenceAtOnceMax = 8;               // files under way; each holds its answer and its records in memory
constexpr size_t kAnswerBytesMax = 64 * 1024 * 1024;   // of the answer inside one file
constexpr auto kStep = std::chrono::milliseconds(20);  // of work between two looks at the client

// One of the files that may be under way at once.
class Turn {
 public:
  static std::optional<Turn> take(std::atomic<size_t>& under_way) {
    if (under_way.fetch_add(1) < kEvidenceAtOnceMax) return Turn(under_way);
    --under_way;
    return std::nullopt;
  }
  Turn(Turn&& other) noexcept : under_way_(std::exchange(other.under_way_, nullptr)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (under_way_ != nullptr) --*under_way_;
  }

 private:
  explicit Turn(std::atomic<size_t>& under_way) : under_way_(&under_way) {}
  std::atomic<size_t>* under_way_;
};

// What went wrong after the header was sent: the last line, which makes the file none.
std::string error_line(const Error& error) {
  return error_response(error).body + "\n";
}

// Makes the file piece by piece: the answer first, unless it is there already, then each record with its proof, then the report.
class EvidenceStream final : public BodyStream {
 public:
  EvidenceStream(ApiContext& api, Turn turn, std::string asked, HttpResponse answer)
      : api_(api), turn_(std::move(turn)), asking_(std::move(answer.stream)) {
    evidence_.asked = std::move(asked);
    evidence_.answer = std::move(answer.body);
  }

  Next next(std::string& out) override {
    if (asking_) return ask(out);
    if (given_ == pending_.size() && !ended_) {
      pending_.clear();
      given_ = 0;
      if (Status made = make(); !made) {
        out += error_line(made.error());
        return Next::kEnd;
      }
    }
    const size_t bytes = std::min(kChunkBytes, pending_.size() - given_);
    out.append(pending_, given_, bytes);
    given_ += bytes;
    return ended_ && given_ == pending_.size() ? Next::kEnd : Next::kMore;
  }

 private:
  Next ask(std::string& out) {
    const Next next = asking_->next(evidence_.answer);
    if (evidence_.answer.size() > kAnswerBytesMax) {
      out += error_line({ErrorCode::kLimit, fmt::format("the answer is longer than {} bytes; a lower limit, or a narrower filter, "
                                                        "makes it shorter",
                                                        kAnswerBytesMax)});
      return Next::kEnd;
    }
    if (next != Next::kEnd) return next;
    asking_.reset();
    // A search that fails says so in its last line, which is ours then.
    const std::string_view last =
        std::string_view(evidence_.answer)
            .substr(evidence_.answer.size() < 2 ? 0 : evidence_.answer.rfind('\n', evidence_.answer.size() - 2) + 1);
    if (!last.starts_with("{\"error\":")) return Next::kMore;
    out += last;
    return Next::kEnd;
  }

  // Appends to pending_ what comes next.
  Status make() {
    if (!begun_) return begin();
    const auto until = std::chrono::steady_clock::now() + kStep;
    while (at_ < indexes_.size() && std::chrono::steady_clock::now() < until && pending_.size() < kChunkBytes) {
      if (Status added = add(indexes_[at_]); !added) return added;
      ++at_;
    }
    if (at_ < indexes_.size()) return {};
    pending_ += evidence_end(evidence_);
    ended_ = true;
    return {};
  }

  Status begin() {
    begun_ = true;
    evidence_.vkey = api_.book.vkey();
    auto indexes = records_to_prove(evidence_.answer);
    if (!indexes) return std::unexpected(indexes.error());
    indexes_ = std::move(*indexes);
    pending_ = evidence_head(evidence_);
    return {};
  }

  Status add(uint64_t index) {
    Record record;
    if (Status read = api_.book.view().read(index, record); !read) return read;
    const auto proof = api_.book.prove(index);
    if (!proof) return std::unexpected(proof.error());
    Evidence::Proven proven;
    encode(record, proven.bytes);
    proven.proof = to_text(ProofFile{index, proof->hashes, proof->checkpoint, std::nullopt});
    pending_ += evidence_section(index, proven);
    proven.proof.clear();
    evidence_.records.emplace(index, std::move(proven));
    return {};
  }

  ApiContext& api_;
  Turn turn_;
  std::unique_ptr<BodyStream> asking_;  // until the answer is there
  Evidence evidence_;                   // its records without their proofs
  std::vector<uint64_t> indexes_;
  size_t at_ = 0;
  bool begun_ = false;
  bool ended_ = false;
  std::string pending_;
  size_t given_ = 0;  // bytes of it
};

constexpr auto kOfEndpoint = std::to_array<std::string_view>({"of", "q", "endpoint", "at", "peer", "host", "window", "settle"});
constexpr auto kOfRows = std::to_array<std::string_view>({"of", "q", "limit"});

Status check_params(const HttpRequest& request, std::string_view of) {
  if (of == "stats" || of == "map" || of == "coverage" || of == "facets" || of == "histogram") {
    return fail(ErrorCode::kBadInput,
                fmt::format("there is no evidence of {}: its counts rest on every record that the filter finds, and a count is not "
                            "proven by some of them; take evidence of the search with the same filter, or the whole book with "
                            "portbook export --tlog",
                            of));
  }
  if (of != "who" && of != "trace" && of != "search")
    return fail(ErrorCode::kBadInput, "evidence is of an answer of who, trace or search: of names which");
  const auto params = of == "search" ? std::span<const std::string_view>(kOfRows) : std::span<const std::string_view>(kOfEndpoint);
  return only_known_params(request, fmt::format("evidence of {}", of), params);
}

std::string asked_of(const HttpRequest& request, std::string_view of) {
  std::vector<std::pair<std::string, std::string>> params;
  for (const auto& param : request.params) {
    if (param.first != "of" && param.first != "settle") params.push_back(param);
  }
  if (of == "search" && !request.param("limit")) params.emplace_back("limit", std::to_string(kEvidenceRowsUsual));
  return evidence_asked(of, params, request.received);
}

}  // namespace

HttpResponse answer_evidence(ApiContext& api, const HttpRequest& request, std::string_view) {
  const std::string of(request.param("of").value_or(""));
  if (Status known = check_params(request, of); !known) return error_response(known.error());
  auto turn = Turn::take(api.evidence_under_way);
  if (!turn) {
    return error_response({ErrorCode::kUnavailable,
                           fmt::format("{} evidence files are being made, the most at once; ask again", kEvidenceAtOnceMax)});
  }
  const std::string read_as = "evidence " + of;
  HttpResponse answer = of == "search" ? search_response(api, request, read_as, kEvidenceRowsUsual)
                        : of == "who"  ? who_response(api, request, read_as)
                                       : trace_response(api, request, read_as);
  if (answer.status != 200 || answer.ask_again.count() > 0) return answer;
  if (!answer.stream) {
    if (const auto indexes = records_to_prove(answer.body); !indexes) return error_response(indexes.error());
  }
  HttpResponse response;
  response.content_type = "application/octet-stream";
  response.headers.emplace_back("Content-Disposition", fmt::format("attachment; filename=\"portbook-{}.evidence\"", of));
  response.stream = std::make_unique<EvidenceStream>(api, std::move(*turn), asked_of(request, of), std::move(answer));
  return response;
}

}  // namespace portbook
