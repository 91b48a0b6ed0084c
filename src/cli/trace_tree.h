// The path that `trace` found, as text for a terminal.
#pragma once

#include <simdjson.h>

#include <string>

namespace portbook {

// A tree for each place where the path begins, with what came before it and what came of it. What one tree has said another does
// not say again: a place that all of is above has no tree. `nodes` and `edges`: of the answer of /api/v1/trace.
std::string trace_tree(simdjson::dom::array nodes, simdjson::dom::array edges);

}  // namespace portbook
