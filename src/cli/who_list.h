// A whole list of questions to `who`, answered in order.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace portbook {

enum class ListForm : uint8_t { kText, kJson, kCsv };

struct ListOptions {
  std::string file;                  // "-": standard input
  std::vector<std::string> columns;  // of a table that are to be read; empty: all
  ListForm form = ListForm::kText;
  Client::Params params;  // of every question
};

// Prints each answer as soon as it is there, then a summary on stderr. Returns the exit code: 2 when a line was no question.
int ask_list(Client& client, const ListOptions& options);

}  // namespace portbook
