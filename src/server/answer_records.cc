// One record with its proof, and the ledger in the forms that other tools read.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "merkle/proof_file.h"
#include "query/json_writer.h"
#include "query/row.h"
#include "query/search.h"
#include "query/who.h"
#include "record/cbor.h"
#include "server/api.h"

namespace portbook {

namespace {

Result<uint64_t> index_of_part(std::string_view part, const View& view) {
  uint64_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  if (error != std::errc{} || end != part.data() + part.size()) {
    return fail(ErrorCode::kBadInput, fmt::format("\"{}\" is not a record's number", part));
  }
  if (index >= view.size())
    return fail(ErrorCode::kNotFound, fmt::format("there is no record {}: the book has {}", index, view.size()));
  return index;
}

void append_proof(const InclusionProof& proof, std::string_view first_name, uint64_t first, std::string_view second_name,
                  Json& json) {
  json.number(first_name, first);
  json.number(second_name, proof.size);
  json.open("hashes", '[');
  for (const Hash& hash : proof.hashes) json.element(base64(hash));
  json.close(']');
  json.text("checkpoint", proof.checkpoint);
}

// The row that people see for a record of a connection; nothing for other records.
std::optional<Row> row_of(Joins& joins, uint64_t index, const Record& record) {
  const uint64_t vantage = record.uint_or(Field::kVantage, static_cast<uint64_t>(Vantage::kSocket));
  if (!record.has(Field::kConn) || vantage != static_cast<uint64_t>(Vantage::kSocket)) return std::nullopt;
  const auto rank = [](Kind kind) {
    switch (kind) {
      case Kind::kClose:
      case Kind::kFailed: return 3;
      case Kind::kOpen: return 2;
      case Kind::kExisting: return 1;
      default: return 0;
    }
  };
  std::optional<Indexed> main;
  for (const Indexed& one : joins.records_of(record.id128(Field::kConn))) {
    if (rank(one.record.kind()) > (main ? rank(main->record.kind()) : 0)) main = one;
  }
  if (!main && rank(record.kind()) > 0) main = Indexed{index, record};
  if (!main) return std::nullopt;
  return connection_row(joins, main->index, main->record);
}

void append_lineage(Joins& joins, uint64_t index, const Record& record, Json& json) {
  std::optional<ProcessFact> process;
  if (record.has(Field::kPid)) process = process_fact(joins, record, index + 1);
  process ? json.raw("process", to_json(*process)) : json.null("process");
  json.open("ancestors", '[');
  if (process) {
    for (const ProcessFact& parent : ancestors_of(joins, *process, index)) json.element_raw(to_json(parent));
  }
  json.close(']');
}

HttpResponse note_response(std::string text) {
  return text_response(std::move(text));
}

}  // namespace

HttpResponse answer_record(ApiContext& api, const HttpRequest& request, std::string_view part) {
  const View view = api.book.view();
  const auto index = index_of_part(part, view);
  if (!index) return error_response(index.error());
  Record record;
  if (auto read = view.read(*index, record); !read) return error_response(read.error());
  const auto proof = api.book.prove(*index);
  if (!proof) return error_response(proof.error());
  Bytes bytes;
  encode(record, bytes);
  const Byte leaf_prefix = 0;
  Joins joins(view);
  std::string out;
  Json json(out);
  json.open('{');
  json.number("id", *index);
  json.raw("record", to_json(record));
  json.text("bytes", hex(bytes));
  json.text("leaf", hex(sha256(ByteView(&leaf_prefix, 1), bytes)));
  json.open("proof", '{');
  append_proof(*proof, "index", *index, "size", json);
  json.close('}');
  const auto row = row_of(joins, *index, record);
  std::string row_json = "null";
  if (row) {
    row_json.clear();
    append_json(*row, row_json);
  }
  json.raw("row", row_json);
  // The process of the local end as the merged row names it: who accepted, not who listened.
  append_lineage(joins, *index, row && record.kind() != Kind::kUsedBy ? row->record : record, json);
  json.close('}');
  if (!joins.status()) return error_response(joins.status().error());
  api.reading_log.note(request.caller, "record", part);
  return json_response(out + "\n");
}

HttpResponse answer_proof(ApiContext& api, const HttpRequest& request, std::string_view part) {
  const auto index = index_of_part(part, api.book.view());
  if (!index) return error_response(index.error());
  const auto proof = api.book.prove(*index);
  if (!proof) return error_response(proof.error());
  api.reading_log.note(request.caller, "prove", part);
  return note_response(to_text(ProofFile{*index, proof->hashes, proof->checkpoint, std::nullopt}));
}

HttpResponse answer_checkpoint(ApiContext& api, const HttpRequest&, std::string_view) {
  return note_response(api.book.checkpoint());
}

HttpResponse answer_vkey(ApiContext& api, const HttpRequest&, std::string_view) {
  return text_response(api.book.vkey() + "\n");
}

HttpResponse answer_consistency(ApiContext& api, const HttpRequest& request, std::string_view) {
  if (!request.param("from")) return error_response({ErrorCode::kBadInput, "from is missing: the size of the older checkpoint"});
  const auto from = number_param(request, "from", 0, 1, UINT64_MAX);
  if (!from) return error_response(from.error());
  std::optional<uint64_t> to;
  if (request.param("to")) {
    const auto given = number_param(request, "to", 0, 1, UINT64_MAX);
    if (!given) return error_response(given.error());
    to = *given;
  }
  const auto proof = api.book.prove_consistency(*from, to);
  if (!proof) return error_response(proof.error());
  std::string out;
  Json json(out);
  json.open('{');
  append_proof(*proof, "from", *from, "to", json);
  json.close('}');
  return json_response(out + "\n");
}

HttpResponse answer_log_file(ApiContext& api, const HttpRequest&, std::string_view part) {
  const auto bytes = api.book.tile_file(part);
  if (!bytes) return error_response(bytes.error());
  HttpResponse response;
  const bool checkpoint = part == "checkpoint";
  response.content_type = checkpoint ? "text/plain; charset=utf-8" : "application/octet-stream";
  response.body = std::string(as_text(*bytes));
  // A tile never changes; a partial one is replaced under another name.
  if (!checkpoint) response.headers.emplace_back("Cache-Control", "private, max-age=31536000, immutable");
  return response;
}

}  // namespace portbook
