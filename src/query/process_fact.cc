#include "query/process_fact.h"

#include <fmt/format.h>

namespace portbook {

ProcessFact process_fact(Joins& joins, const Record& owner, uint64_t index) {
  ProcessFact fact;
  if (owner.has(Field::kProcessStart)) {
    const Indexed* process = joins.process({owner.uint(Field::kPid), owner.uint(Field::kProcessStart)}, index);
    if (process != nullptr) {
      fact.record = process->record;
      fact.id = process->index;
    }
    fact.record.set(Field::kProcessStart, owner.uint(Field::kProcessStart));
  }
  fact.record.set(Field::kPid, owner.uint(Field::kPid));
  for (const Field field : {Field::kExe, Field::kContainer, Field::kHost}) {
    if (owner.has(field)) fact.record.set(field, owner.text(field));
  }
  if (owner.has(Field::kUid)) {
    // The name in the process record is that of the uid it had then.
    if (fact.record.uint_or(Field::kUid, owner.uint(Field::kUid)) != owner.uint(Field::kUid)) fact.record.remove(Field::kUser);
    fact.record.set(Field::kUid, owner.uint(Field::kUid));
  }
  return fact;
}

std::vector<ProcessFact> ancestors_of(Joins& joins, const ProcessFact& process, uint64_t index) {
  std::vector<ProcessFact> ancestors;
  Record child = process.record;
  while (ancestors.size() < kAncestorsMax && child.has(Field::kPpid) && child.has(Field::kParentStart)) {
    const Indexed* parent = joins.process({child.uint(Field::kPpid), child.uint(Field::kParentStart)}, index);
    if (parent == nullptr) break;
    ancestors.push_back({parent->record, parent->index});
    child = parent->record;
  }
  return ancestors;
}

std::string process_name(const Record& record) {
  // A short name is not always UTF-8: a path's last part, escaped, is never worse.
  if (record.has(Field::kComm) && is_utf8(as_bytes(record.text(Field::kComm)))) return std::string(record.text(Field::kComm));
  if (record.has(Field::kExe) && is_utf8(as_bytes(record.text(Field::kExe)))) {
    const std::string_view exe = record.text(Field::kExe);
    return std::string(exe.substr(exe.rfind('/') + 1));
  }
  return record.has(Field::kPid) ? fmt::format("pid {}", record.uint(Field::kPid)) : "an unknown process";
}

}  // namespace portbook
