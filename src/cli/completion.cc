// portbook completion: the words that a shell offers after Tab, made from the commands themselves.
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/output.h"
#include "query/filter.h"

namespace portbook {

namespace {

// The long options of a command, with blanks between them.
std::string options_of(CLI::App& command) {
  std::string out;
  for (const CLI::Option* option : command.get_options([](CLI::Option*) { return true; })) {
    if (option->get_group().empty()) continue;  // between portbook and itself
    for (const std::string& name : option->get_lnames()) out += fmt::format("{}--{}", out.empty() ? "" : " ", name);
  }
  return out;
}

std::string filter_names() {
  std::string out;
  for (const FieldInfo& field : kFields) out += fmt::format("{}{}:", out.empty() ? "" : " ", field.name);
  for (const std::string_view word : filter_words()) out += fmt::format(" {}:", word);
  return out;
}

int print_bash(CLI::App& program) {
  std::string names;
  std::string cases;
  for (CLI::App* command : program.get_subcommands([](CLI::App*) { return true; })) {
    names += fmt::format("{}{}", names.empty() ? "" : " ", command->get_name());
    cases += fmt::format("    {}) options=\"{}\" ;;\n", command->get_name(), options_of(*command));
  }
  write_out(
      fmt::format("# bash completion for portbook: source this file, or keep it as /etc/bash_completion.d/portbook\n"
                  "_portbook() {{\n"
                  "  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" options=\"\"\n"
                  "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                  "    COMPREPLY=($(compgen -W \"{} --help --version\" -- \"$word\"))\n"
                  "    return\n"
                  "  fi\n"
                  "  case \"${{COMP_WORDS[1]}}\" in\n{}  esac\n"
                  "  case \"${{COMP_WORDS[COMP_CWORD-1]}}\" in\n"
                  "    --data|--tlog) COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n"
                  "    --color) COMPREPLY=($(compgen -W \"auto always never\" -- \"$word\")); return ;;\n"
                  "    --from|--evidence|--checkpoint|--output|--record) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
                  "  esac\n"
                  "  case \"$word\" in\n"
                  "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")); return ;;\n"
                  "  esac\n"
                  "  case \"${{COMP_WORDS[1]}}\" in\n"
                  "    search|tail|stats|map|coverage)\n"
                  "      compopt -o nospace 2>/dev/null\n"
                  "      COMPREPLY=($(compgen -W \"{}\" -- \"$word\")) ;;\n"
                  "    verify|export|import) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
                  "  esac\n"
                  "}}\n"
                  "complete -F _portbook portbook\n",
                  names, cases, filter_names()));
  return 0;
}

}  // namespace

void add_completion(CLI::App& program, Run& run) {
  auto shell = std::make_shared<std::string>();  // shared: the parser's callbacks and the run hold it
  auto* command = program.add_subcommand("completion", "What a shell offers after Tab");
  command->add_option("shell", *shell, "bash")->required()->check(CLI::IsMember({"bash"}));
  command->footer(
      "Examples:\n"
      "  source <(portbook completion bash)\n"
      "  portbook completion bash > /etc/bash_completion.d/portbook");
  command->callback([shell, &program, &run] { run = [shell, &program] { return print_bash(program); }; });
}

}  // namespace portbook
