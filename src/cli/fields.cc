// portbook fields: the field table.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/table.h"
#include "record/json.h"

namespace portbook {

namespace {

constexpr std::string_view kTypes[] = {"number", "signed number", "time", "duration, ns", "port",
                                       "name",   "address",       "text", "id",           "values"};

std::string names_of(Field field) {
  std::string names;
  for (const EnumName& name : enum_names(field)) names += (names.empty() ? "" : " ") + std::string(name.name);
  return names;
}

int fields(Format format) {
  Table table({{"field", 16, false}, {"type", 13, false}, {"says", 10, false}});
  if (format == Format::kTable) table.print_head();
  for (const FieldInfo& about : kFields) {
    const std::string_view type = kTypes[static_cast<size_t>(about.type)];
    const std::string names = names_of(about.field);
    if (format == Format::kTable) {
      table.print_row({{std::string(about.name), Ink::kBold},
                       {std::string(type), Ink::kDim},
                       {std::string(about.doc) + (names.empty() ? "" : ": " + names)}});
      continue;
    }
    std::string doc;
    append_json_string(about.doc, doc);
    fmt::print("{{\"name\":\"{}\",\"key\":{},\"type\":\"{}\",\"doc\":{},\"ocsf\":\"{}\",\"ecs\":\"{}\",\"names\":\"{}\"}}\n",
               about.name, index_of(about.field), type, doc, about.ocsf, about.ecs, names);
  }
  return 0;
}

}  // namespace

void add_fields(CLI::App& app, Run& run) {
  auto format = std::make_shared<Format>(Format::kTable);  // shared by the parser's callbacks and the run
  CLI::App* command = app.add_subcommand("fields", "list the fields of records, as used in filters");
  add_json_option(*command, *format);
  command->footer("Examples:\n  portbook fields\n  portbook fields --json | jq -r 'select(.ecs != \"\") | .name + \" = \" + .ecs'");
  command->callback([format, &run] { run = [format] { return fields(*format); }; });
}

}  // namespace portbook
