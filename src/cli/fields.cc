// portbook fields: the fields of records, by which filters name them.
#include "record/fields.h"

#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"
#include "query/json_writer.h"

namespace portbook {

namespace {

std::string values_of(Field field) {
  std::string out;
  for (const EnumName& name : enum_names(field)) out += fmt::format("{}{}", out.empty() ? "" : " ", name.name);
  return out;
}

int fields(bool json_wanted) {
  Table table({"field", "says", "values"});
  for (const FieldInfo& field : kFields) {
    if (!json_wanted) {
      table.add({std::string(field.name), std::string(field.doc), values_of(field.field)});
      continue;
    }
    std::string line;
    Json json(line);
    json.open('{');
    json.text("name", field.name);
    json.text("doc", field.doc);
    json.text("ecs", field.ecs);
    json.text("ocsf", field.ocsf);
    json.text("values", values_of(field.field));
    json.close('}');
    write_json(line + "\n");
  }
  if (!json_wanted) {
    table.print([](std::string_view column, std::string_view) { return column == "field" ? Ink::kBold : Ink::kPlain; });
  }
  return 0;
}

}  // namespace

void add_fields(CLI::App& program, Run& run) {
  auto json = std::make_shared<bool>(false);  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("fields", "The fields of records, by which filters name them");
  command->add_flag("--json", *json, "One JSON object a line");
  command->footer(
      "Examples:\n"
      "  portbook fields\n"
      "  portbook fields --json | jq -r 'select(.ecs != \"\") | [.name,.ecs] | @tsv'");
  command->callback([json, &run] { run = [json] { return fields(*json); }; });
}

}  // namespace portbook
