// What a book's process records answer to one test, for all processes at once: where a question asks for more processes than
// looking them up one by one is worth.
#pragma once

#include <optional>
#include <unordered_map>

#include "query/filter.h"
#include "query/joins.h"
#include "store/view.h"

namespace portbook {

enum class ProcessAnswer : uint8_t { kNo, kYes, kDepends };  // kDepends: its records do not agree

class ProcessAnswers {
 public:
  static constexpr size_t kProcessesMax = 1'000'000;  // remembered: those with a record that passes

  // Reads the process records of all of the view's blocks. `test` is of a process field. Nothing where more than `processes_max`
  // pass. Errors: kIo, kCorrupt of a block.
  static Result<std::optional<ProcessAnswers>> of(const View& view, const Test& test, size_t processes_max = kProcessesMax);

  // As process_matches(); kNo also where it has no record.
  [[nodiscard]] ProcessAnswer answer(const ProcessId& process) const;

 private:
  std::unordered_map<ProcessId, ProcessAnswer, ProcessIdHash> passing_;  // the others' answer is kNo
};

}  // namespace portbook
