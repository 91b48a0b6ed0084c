#include "cli/trace_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "cli/output.h"
#include "cli/table.h"
#include "query/moment.h"

namespace portbook {

namespace {

using simdjson::dom::element;

// The answer, and what of it is written: a node stands in full once, an edge once, over all places where the path begins. Asked by
// an external endpoint both ends of its connection are such places, and the path from the one holds that from the other.
class Tree {
 public:
  Tree(simdjson::dom::array nodes, simdjson::dom::array edges) {
    for (const element node : nodes) nodes_.push_back(node);
    for (const element edge : edges) edges_.push_back(edge);
  }

  std::string text() && {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (member(nodes_[i], "start") == "true") write_start(i);
    }
    return std::move(out_);
  }

 private:
  static size_t number(element object, std::string_view name) {
    uint64_t value = 0;
    return object[name].get(value) == simdjson::SUCCESS ? value : 0;
  }

  // Edges that lead to `node` from its causes, or from it to its effects.
  std::vector<size_t> edges_at(size_t node, bool causes) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < edges_.size(); ++i) {
      if (number(edges_[i], causes ? "to" : "from") == node) found.push_back(i);
    }
    return found;
  }
  size_t far_end(size_t edge, bool causes) const { return number(edges_[edge], causes ? "from" : "to"); }

  // Those of them that are not written, or lead on to such a one.
  std::vector<size_t> new_edges_at(size_t node, bool causes) const {
    std::vector<size_t> found = edges_at(node, causes);
    std::erase_if(found, [&](size_t edge) {
      std::set<size_t> visited;
      return edges_written_.contains(edge) && !leads_on(far_end(edge, causes), causes, visited);
    });
    return found;
  }

  bool leads_on(size_t node, bool causes, std::set<size_t>& visited) const {
    if (!visited.insert(node).second) return false;
    return std::ranges::any_of(edges_at(node, causes), [&](size_t edge) {
      return !edges_written_.contains(edge) || leads_on(far_end(edge, causes), causes, visited);
    });
  }

  void write_start(size_t node) {
    const bool written = nodes_written_.contains(node);
    if (written && new_edges_at(node, true).empty() && new_edges_at(node, false).empty()) return;
    out_ += '\n';
    write_node(node, "", "");
    write_branch("came from", node, true, new_edges_at(node, false).empty());
    write_branch("led to", node, false, true);
  }

  void write_branch(std::string_view title, size_t node, bool causes, bool last) {
    if (new_edges_at(node, causes).empty()) return;
    add("{} {}\n", last ? "└─" : "├─", inked(Ink::kBold, title));
    std::set<size_t> expanded;
    write_edges(node, causes, last ? "   " : "│  ", expanded);
  }

  void write_edges(size_t node, bool causes, const std::string& indent, std::set<size_t>& expanded) {
    if (!expanded.insert(node).second) return;
    const std::vector<size_t> edges = new_edges_at(node, causes);
    for (const size_t edge : edges) {
      const bool last = edge == edges.back();
      const std::string below = indent + (last ? "   " : "│  ");
      edges_written_.insert(edge);
      write_edge(edges_[edge], indent + (last ? "└─ " : "├─ "), below);
      write_node(far_end(edge, causes), below, below);
      write_edges(far_end(edge, causes), causes, below, expanded);
    }
  }

  template <typename... T>
  void add(fmt::format_string<AsShown<T>...> format, const T&... values) {
    out_ += shown<T...>(format, values...);
  }

  void write_edge(element edge, const std::string& first, const std::string& rest) {
    const std::string certainty = member(edge, "class");
    const Ink ink = certainty == "proven" ? Ink::kGood : certainty == "stated" ? Ink::kInternal : Ink::kWarn;
    add("{}{}  {}\n", first, inked(ink, certainty), member(edge, "method"));
    simdjson::dom::array leases;
    if (edge["leases"].get(leases) == simdjson::SUCCESS) {
      for (const element lease : leases) write_lease(lease, rest);
    }
    add("{}{}\n", rest, inked(Ink::kDim, member(edge, "order")));
  }

  void write_lease(element lease, const std::string& indent) {
    const std::string external = member(lease, "external");
    const std::string server = member(lease, "server");
    add("{}lease of {}: {}{}{}  {}\n", indent, member(lease, "host"), inked(Ink::kInternal, member(lease, "internal")),
        external.empty() ? "" : " ‖ " + inked(Ink::kExternal, external),
        server.empty() ? "" : fmt::format(", {} → {}", member(lease, "asked_for"), server),
        inked(Ink::kDim, records_text(lease, "records")));
  }

  // "nginx 812 (www-data)  on web-7", and below it what it came from.
  void write_node(size_t index, const std::string& first, const std::string& rest) {
    const element node = nodes_[index];
    if (!nodes_written_.insert(index).second) {
      add("{}{}\n", first, inked(Ink::kDim, fmt::format("#{}, as above", member(node, "record"))));
      return;
    }
    const bool inbound = member(node, "direction") == "in";
    element process;
    const bool known = node["process"].get(process) == simdjson::SUCCESS && process.is_object();
    const std::string host = member(node, "host");
    const Shown lineage = known ? lineage_text(node) : "";
    add("{}{}{}{}{}\n", first, inked(Ink::kBold, known ? process_text(process) : "process unknown"),
        host.empty() ? "" : " on " + host, lineage.empty() ? "" : "  ", lineage);
    const std::string external = member(node, "external");
    add("{}{} {} {} {}  {} {}  {}\n", rest, inbound ? "accepted" : "opened",
        inked(Ink::kInternal, member(node, "src")) + (external.empty() ? "" : " ‖ " + inked(Ink::kExternal, external)), "→",
        member(node, "dst"), member(node, "proto"), member(node, "state"),
        inked(Ink::kDim, fmt::format("#{}", member(node, "record"))));
    add("{}{}\n", rest, inked(Ink::kDim, interval_of(node)));
    const std::string beyond = member(node, "beyond");
    if (!beyond.empty()) add("{}{}\n", rest, inked(Ink::kWarn, beyond));
  }

  static std::string process_text(element process) {
    std::string name = member(process, "comm");
    if (name.empty()) name = member(process, "exe");
    const std::string user = member(process, "user");
    const std::string login = member(process, "login_user");
    const std::string container = member(process, "container");
    return fmt::format("{} {}{}{}{}", name, member(process, "pid"), user.empty() ? "" : ", user " + user,
                       login.empty() ? "" : ", login " + login, container.empty() ? "" : ", container " + container.substr(0, 12));
  }

  static Shown lineage_text(element node) {
    simdjson::dom::array ancestors;
    std::string out;
    if (node["ancestors"].get(ancestors) != simdjson::SUCCESS) return "";
    for (const element parent : ancestors) out += fmt::format(" ← {} {}", member(parent, "comm"), member(parent, "pid"));
    return out.empty() ? "" : inked(Ink::kDim, out.substr(1));
  }

  static std::string interval_of(element node) {
    element interval;
    if (node["interval"].get(interval) != simdjson::SUCCESS) return {};
    const auto time = [&](std::string_view name) {
      const auto parsed = parse_time(member(interval, name), 0);
      return parsed && !member(interval, name).empty() ? std::optional(parsed->time) : std::nullopt;
    };
    return interval_text(time("start"), time("end"));
  }

  static std::string records_text(element object, std::string_view name) {
    simdjson::dom::array records;
    std::string out;
    if (object[name].get(records) != simdjson::SUCCESS) return out;
    for (const element record : records) out += fmt::format("{}#{}", out.empty() ? "" : " ", simdjson::minify(record));
    return out;
  }

  std::vector<element> nodes_;
  std::vector<element> edges_;
  std::set<size_t> nodes_written_;
  std::set<size_t> edges_written_;
  std::string out_;
};

}  // namespace

std::string trace_tree(simdjson::dom::array nodes, simdjson::dom::array edges) {
  return Tree(nodes, edges).text();
}

}  // namespace portbook
