// portbook prove: the proof file of one record.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <fstream>

#include "cli/client.h"

namespace portbook {

namespace {

struct Options {
  BookChoice book;
  std::string id;
  std::filesystem::path output;
};

int prove(const Options& options) {
  const std::string_view digits =
      std::string_view(options.id).starts_with('#') ? std::string_view(options.id).substr(1) : std::string_view(options.id);
  uint64_t index = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return report({ErrorCode::kBadInput, fmt::format("\"{}\" is not the number of a record", options.id)});
  }
  auto client = Client::connect(options.book);
  if (!client) return report(client.error());
  const auto proof = (*client)->get(fmt::format("/api/v1/records/{}/proof", index));
  if (!proof) return report(proof.error());
  if (options.output.empty()) {
    fmt::print("{}", *proof);
    return 0;
  }
  std::ofstream file(options.output, std::ios::binary);
  file << *proof;
  file.close();
  if (!file) return report({ErrorCode::kIo, fmt::format("{} cannot be written", options.output.native())});
  return 0;
}

}  // namespace

void add_prove(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();  // shared by the parser's callbacks and the run
  CLI::App* command = app.add_subcommand("prove", "print the proof that a record is in the book (C2SP tlog-proof)");
  command->add_option("record", options->id, "number of the record, as search and who show it")->required()->type_name("ID");
  command->add_option("--output,-o", options->output, "write the proof to this file")->type_name("FILE");
  add_book_options(*command, options->book);
  command->footer(
      "Examples:\n  portbook prove 412\n  portbook prove '#412' -o record-412.tlog-proof\nExit codes: 0 proven, 3 no such record, "
      "8 no running book");
  command->callback([options, &run] { run = [options] { return prove(*options); }; });
}

}  // namespace portbook
