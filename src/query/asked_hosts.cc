#include "query/asked_hosts.h"

#include <algorithm>

#include "query/evaluate.h"

namespace portbook {

namespace {

bool is_host_test(const FilterNode& node) {
  return node.op == FilterNode::Op::kTest && node.test.subject == Subject::kField && node.test.field == Field::kHost;
}

bool any_test(const FilterNode& node, bool (*wanted)(const FilterNode&)) {
  return node.op == FilterNode::Op::kTest
             ? wanted(node)
             : std::ranges::any_of(node.children, [&](const FilterNode& child) { return any_test(child, wanted); });
}

bool asks_for_translation(const FilterNode& node) {
  switch (node.test.subject) {
    case Subject::kField: return is_nat_field(node.test.field);
    case Subject::kAnyIp:
    case Subject::kAnyPort:
    case Subject::kEndpoint: return true;
    default: return false;
  }
}

// False only where no record of the host can pass.
bool may_pass(const FilterNode& node, const std::string& host) {
  const auto passes = [&](const FilterNode& child) { return may_pass(child, host); };
  switch (node.op) {
    case FilterNode::Op::kAll: return std::ranges::all_of(node.children, passes);
    case FilterNode::Op::kAny: return std::ranges::any_of(node.children, passes);
    case FilterNode::Op::kNot: return !is_host_test(node.children.front()) || !passes(node.children.front());
    case FilterNode::Op::kTest: break;
  }
  const auto matches = [&](const TextPattern& pattern) { return pattern.matches(host); };
  return !is_host_test(node) || node.test.any_value || std::ranges::any_of(node.test.texts, matches);
}

}  // namespace

std::optional<AskedHosts> asked_hosts(const Filter& filter, const std::vector<std::string>& hosts) {
  if (!any_test(filter.root, is_host_test)) return std::nullopt;
  AskedHosts asked;
  std::ranges::copy_if(hosts, std::back_inserter(asked.hosts),
                       [&](const std::string& host) { return may_pass(filter.root, host); });
  asked.translations = any_test(filter.root, asks_for_translation);
  return asked;
}

}  // namespace portbook
