// portbook prove: the proof that a record is in the book, checked before it is handed out.
#include <fmt/format.h>

#include <fstream>
#include <memory>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "merkle/proof_file.h"

namespace portbook {

namespace {

struct Options {
  BookPlace place;
  uint64_t id = 0;
  std::string proof_file;
  std::string record_file;
};

Result<Bytes> record_bytes(Client& client, uint64_t id) {
  const auto answer = client.get(fmt::format("/api/v1/records/{}", id));
  if (!answer) return std::unexpected(answer.error());
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(*answer);
  simdjson::dom::element parsed;
  Bytes bytes;
  if (parser.parse(padded).get(parsed) != simdjson::SUCCESS || !parse_hex(member(parsed, "bytes"), bytes)) {
    return fail(ErrorCode::kIo, "the book's answer is not JSON");
  }
  return bytes;
}

Status write_file(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) return fail(ErrorCode::kIo, fmt::format("cannot write {}", path));
  return {};
}

int prove(const Options& options) {
  auto client = options.place.connect();
  if (!client) return report(client.error());
  const auto bytes = record_bytes(*client, options.id);
  if (!bytes) return report(bytes.error());
  const auto text = client->get(fmt::format("/api/v1/records/{}/proof", options.id));
  if (!text) return report(text.error());
  const auto vkey_text = client->get("/api/v1/vkey");
  if (!vkey_text) return report(vkey_text.error());
  const auto verifier = parse_vkey(std::string_view(*vkey_text).substr(0, vkey_text->find('\n')));
  if (!verifier) return report(verifier.error());
  const auto proof = parse_proof_file(*text);
  if (!proof) return report(proof.error());
  const auto checkpoint = verify_proof_file(*proof, *bytes, *verifier);
  if (!checkpoint) {
    tell("portbook: the proof of record {} is wrong: {}\n", options.id, checkpoint.error().message);
    return kExitNoMatch;
  }
  if (!options.record_file.empty()) {
    if (const auto written = write_file(options.record_file, as_text(*bytes)); !written) return report(written.error());
  }
  if (options.proof_file.empty()) {
    write_out(*text);
  } else if (const auto written = write_file(options.proof_file, *text); !written) {
    return report(written.error());
  }
  tell("Record {} is in the tree of {} records that {} signed.\n", options.id, checkpoint->head.size, checkpoint->origin);
  return 0;
}

}  // namespace

void add_prove(CLI::App& program, Run& run) {
  auto options = std::make_shared<Options>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("prove", "The proof that a record is in the book (C2SP tlog-proof)");
  command->add_option("id", options->id, "Number of the record")->required();
  command->add_option("--output,-o", options->proof_file, "Write the proof there instead of standard output");
  command->add_option("--record", options->record_file, "Also write the record's bytes there");
  add_place_options(*command, options->place);
  command->footer(
      "Examples:\n"
      "  portbook prove 412\n"
      "  portbook prove 412 -o 412.tlog-proof --record 412.cbor\n"
      "Exit code 1: the proof does not check out.");
  command->callback([options, &run] { run = [options] { return prove(*options); }; });
}

}  // namespace portbook
