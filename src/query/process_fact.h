// A process as an answer names it, and its ancestors.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "query/joins.h"

namespace portbook {

// A process: its record, where there is one, with what the socket's own record says about program, user and container on top.
struct ProcessFact {
  Record record;
  std::optional<uint64_t> id;  // the process record's index
};

inline constexpr size_t kAncestorsMax = 32;

// The process that `owner` names. Needs pid. `index` is the owner's own: a process record written before it is preferred.
ProcessFact process_fact(Joins& joins, const Record& owner, uint64_t index);
// Its parents as far as they are recorded, nearest first; each has an id.
std::vector<ProcessFact> ancestors_of(Joins& joins, const ProcessFact& process, uint64_t index);

// A process's name for a sentence: its short name, else the last part of its program's path, else its pid.
std::string process_name(const Record& record);

}  // namespace portbook
