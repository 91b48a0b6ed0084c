// Fields and counts: what the page's suggestions, histogram and facets are made of.
#include <fmt/format.h>

#include <algorithm>

#include "query/asked_hosts.h"
#include "query/count.h"
#include "query/json_writer.h"
#include "query/search.h"
#include "server/api.h"

namespace portbook {

namespace {

constexpr uint64_t kValuesLimitMax = 200;
constexpr uint64_t kGroupsLimitMax = 10'000;

std::string_view type_name(FieldType type) {
  switch (type) {
    case FieldType::kUint: return "uint";
    case FieldType::kSigned: return "int";
    case FieldType::kTime: return "time";
    case FieldType::kDuration: return "duration";
    case FieldType::kPort: return "port";
    case FieldType::kEnum: return "enum";
    case FieldType::kIp: return "ip";
    case FieldType::kText: return "text";
    case FieldType::kId128: return "id";
    case FieldType::kCbor: return "cbor";
  }
  return "text";
}

void append_values(const std::vector<ValueCount>& values, Json& json) {
  json.open("values", '[');
  for (const ValueCount& value : values) {
    json.open('{');
    json.text("value", value.value);
    json.number("count", value.count);
    json.close('}');
  }
  json.close(']');
}

std::optional<GroupOrder> group_order(std::string_view name) {
  if (name == "count") return GroupOrder::kCount;
  if (name == "failed") return GroupOrder::kFailed;
  if (name == "bytes_out") return GroupOrder::kBytesOut;
  if (name == "bytes_in") return GroupOrder::kBytesIn;
  return std::nullopt;
}

void write_sums(Json& json, const Group& group) {
  json.number("count", group.count);
  json.number("failed", group.failed);
  json.number("bytes_out", group.bytes_out);
  json.number("bytes_in", group.bytes_in);
}

// The field, or which was probably meant.
Result<Field> field_of(std::string_view name) {
  if (const auto field = field_named(name)) return *field;
  std::vector<std::string_view> names;
  for (const FieldInfo& field : kFields) names.push_back(field.name);
  const std::string near = nearest_name(name, names);
  return fail(ErrorCode::kBadInput,
              fmt::format("there is no field \"{}\"{}", name, near.empty() ? "" : fmt::format("; did you mean {}?", near)));
}

// The first and last moment of a histogram: as asked, else as the filter says, else all that the book has.
Result<std::pair<TimeNs, TimeNs>> histogram_range(ApiContext& api, const HttpRequest& request, const Filter& filter,
                                                  const View& view) {
  const TimeNs now = api.clock.now();
  const NumberRange said = start_range(filter);
  TimeNs from = said.low;
  TimeNs to = std::min(said.high, now);
  for (const auto& [name, target] : {std::pair{"from", &from}, std::pair{"to", &to}}) {
    if (const auto text = request.param(name)) {
      const auto time = parse_time(*text, now);
      if (!time) return std::unexpected(time.error().in(name));
      *target = time->time;
    }
  }
  if (from == 0) {
    for (const BlockRef& ref : view.blocks()) {
      if (ref.rows > 0) from = from == 0 ? ref.block->time_min() : std::min(from, ref.block->time_min());
    }
    if (from == 0) from = to - std::min(to, 60 * kNsPerSecond);
  }
  if (from >= to) {
    if (request.param("from") || request.param("to")) return fail(ErrorCode::kBadInput, "from is not before to");
    to = from + kNsPerSecond;
  }
  return std::pair(from, to);
}

}  // namespace

HttpResponse answer_fields(ApiContext&, const HttpRequest&, std::string_view) {
  std::string out;
  Json json(out);
  json.open('[');
  for (const FieldInfo& field : kFields) {
    json.open('{');
    json.text("name", field.name);
    json.text("type", type_name(field.type));
    json.text("doc", field.doc);
    const auto names = enum_names(field.field);
    if (names.empty()) {
      json.null("values");
    } else {
      json.open("values", '[');
      for (const EnumName& name : names) json.element(name.name);
      json.close(']');
    }
    json.number("key", index_of(field.field));
    json.close('}');
  }
  json.close(']');
  return json_response(out + "\n");
}

HttpResponse answer_values(ApiContext& api, const HttpRequest& request, std::string_view) {
  const auto name = request.param("field");
  const auto field = name ? field_named(*name) : std::nullopt;
  if (!field)
    return error_response({ErrorCode::kBadInput, name ? fmt::format("there is no field \"{}\"", *name) : "field is missing"});
  auto filter = parse_filter(request.param("q").value_or(""), api.clock.now());
  if (!filter) return filter_error_response(filter.error());
  const auto limit = number_param(request, "limit", 8, 1, kValuesLimitMax);
  if (!limit) return error_response(limit.error());
  CountLimits limits;
  limits.time = std::chrono::milliseconds(250);  // somebody is typing
  limits.rows = 50'000;
  const auto values =
      field_values(api.book.view(), std::move(*filter), *field, request.param("prefix").value_or(""), *limit, limits);
  if (!values) return error_response(values.error());
  std::string out;
  Json json(out);
  json.open('{');
  json.text("field", info(*field).name);
  append_values(values->values, json);
  json.number("total", values->total);
  json.boolean("sampled", values->sampled);
  json.close('}');
  return json_response(out + "\n");
}

HttpResponse answer_histogram(ApiContext& api, const HttpRequest& request, std::string_view) {
  auto filter = parse_filter(request.param("q").value_or(""), api.clock.now());
  if (!filter) return filter_error_response(filter.error());
  const auto buckets = number_param(request, "buckets", 120, 1, kHistogramBucketsMax);
  if (!buckets) return error_response(buckets.error());
  const View view = api.book.view();
  if (auto status = api.coverage.refresh(view); !status) return error_response(status.error());
  const auto range = histogram_range(api, request, *filter, view);
  if (!range) return error_response(range.error());
  const auto asked = asked_hosts(*filter, api.coverage.hosts());
  const auto counted = histogram(view, std::move(*filter), range->first, range->second, *buckets, {});
  if (!counted) return error_response(counted.error());
  std::string out;
  Json json(out);
  json.open('{');
  json.text("from", format_time(counted->from));
  json.text("to", format_time(counted->to));
  json.number("bucket_ns", counted->bucket_ns);
  json.numbers("counts", counted->counts);
  json.numbers("failed", counted->failed);
  json.number("rows", counted->rows);
  json.boolean("sampled", counted->sampled);
  json.open("gaps", '[');
  for (const Missing& missing : api.coverage.over(counted->from, counted->to, asked).missing) {
    json.open('{');
    json.text("from", format_time(std::max(missing.gap.from, counted->from)));
    json.text("to", format_time(std::min(missing.gap.to.value_or(counted->to), counted->to)));
    json.text("source", missing.source);
    json.number("record", missing.gap.record);
    json.close('}');
  }
  json.close(']');
  json.close('}');
  return json_response(out + "\n");
}

HttpResponse answer_facets(ApiContext& api, const HttpRequest& request, std::string_view) {
  auto filter = parse_filter(request.param("q").value_or(""), api.clock.now());
  if (!filter) return filter_error_response(filter.error());
  CountLimits limits;
  limits.time = std::chrono::milliseconds(1000);
  limits.rows = 50'000;
  const auto found = facets(api.book.view(), std::move(*filter), limits);
  if (!found) return error_response(found.error());
  std::string out;
  Json json(out);
  json.open('{');
  json.open("facets", '[');
  for (const Facet& facet : found->facets) {
    json.open('{');
    json.text("field", info(facet.field).name);
    json.number("distinct", facet.distinct);
    append_values(facet.values, json);
    json.close('}');
  }
  json.close(']');
  json.number("rows", found->rows);
  json.boolean("sampled", found->sampled);
  json.close('}');
  return json_response(out + "\n");
}

HttpResponse answer_stats(ApiContext& api, const HttpRequest& request, std::string_view) {
  const std::string_view text = request.param("q").value_or("");
  auto filter = parse_filter(text, api.clock.now());
  if (!filter) return filter_error_response(filter.error());
  std::vector<Field> fields;
  std::string_view by = request.param("by").value_or("");
  while (!by.empty()) {
    const std::string_view name = by.substr(0, by.find(','));
    by.remove_prefix(std::min(name.size() + 1, by.size()));
    const auto field = field_of(name);
    if (!field) return error_response(field.error());
    fields.push_back(*field);
  }
  if (fields.empty() || fields.size() > kGroupFieldsMax) {
    return error_response(
        {ErrorCode::kBadInput, fmt::format("by names one to {} fields, with commas between them", kGroupFieldsMax)});
  }
  const auto order = group_order(request.param("sort").value_or("count"));
  if (!order) return error_response({ErrorCode::kBadInput, "sort is count, failed, bytes_out or bytes_in"});
  const auto limit = number_param(request, "limit", 50, 1, kGroupsLimitMax);
  if (!limit) return error_response(limit.error());
  CountLimits limits;
  limits.time = std::chrono::seconds(10);
  limits.rows = UINT64_MAX;  // the time limits it
  const auto counted = count_by(api.book.view(), std::move(*filter), fields, *limit, *order, limits);
  if (!counted) return error_response(counted.error());
  api.reading_log.note(request.caller, "stats", text);
  std::string out;
  Json json(out);
  json.open('{');
  json.open("groups", '[');
  for (const Group& group : counted->groups) {
    json.open('{');
    json.open("values", '{');
    for (size_t i = 0; i < fields.size(); ++i) json.text_or_null(info(fields[i]).name, group.values[i]);
    json.close('}');
    write_sums(json, group);
    json.close('}');
  }
  json.close(']');
  if (counted->total > counted->groups.size()) {
    json.open("others", '{');
    json.number("groups", counted->total - counted->groups.size());
    write_sums(json, counted->others);
    json.close('}');
  } else {
    json.null("others");
  }
  json.number("total", counted->total);
  json.number("rows", counted->rows);
  json.boolean("sampled", counted->sampled);
  json.close('}');
  return json_response(out + "\n");
}

}  // namespace portbook
