#include "book/checked_batch.h"

#include <fmt/format.h>

#include <utility>

#include "merkle/tree.h"
#include "record/cbor.h"

namespace portbook {

namespace {

Status check_record(const Record& record, const Batch& batch, uint64_t seq) {
  if (record.text_or(Field::kSource, "") != batch.source) return fail(ErrorCode::kBadInput, "its source is not the batch's");
  if (record.uint_or(Field::kSourceSeq, 0) != seq) {
    return fail(ErrorCode::kBadInput,
                fmt::format("its source_seq is {} where {} follows", record.uint_or(Field::kSourceSeq, 0), seq));
  }
  return {};
}

}  // namespace

namespace {

bool is_in(uint32_t set, uint64_t value) {
  return value < 32 && (set >> value & 1) != 0;
}

}  // namespace

Status Allowance::check_source(std::string_view source) const {
  const bool own = source.starts_with(host) && source.substr(host.size()).starts_with('/') && source.size() > host.size() + 1;
  if (!own) {
    return fail(ErrorCode::kDenied,
                fmt::format("the source \"{}\" is not one of {}: its name would begin with \"{}/\"", source, host, host));
  }
  return {};
}

Status Allowance::check_record(const Record& record) const {
  if (!any_host && record.text_or(Field::kHost, "") != host) {
    return fail(ErrorCode::kDenied, fmt::format("its host is \"{}\" where this credential speaks for {} alone",
                                                record.text_or(Field::kHost, ""), host));
  }
  const uint64_t kind = record.uint_or(Field::kKind, 0);
  // What a source found out about itself; anything else of that kind is the book's to say.
  const bool compared = kind == static_cast<uint64_t>(Kind::kAdmin) && record.text_or(Field::kAction, "") == kComparedWithKernel &&
                        record.has(Field::kAbout);
  if (!compared && !is_in(kinds, kind))
    return fail(ErrorCode::kDenied, fmt::format("this credential may not write records of kind {}", enum_name(Field::kKind, kind)));
  const uint64_t vantage = record.uint_or(Field::kVantage, 0);
  if (!is_in(vantages, vantage)) {
    return fail(ErrorCode::kDenied, fmt::format("this credential may not write records of vantage {}",
                                                vantage == 0 ? std::string_view("unknown") : enum_name(Field::kVantage, vantage)));
  }
  if (record.has(Field::kAbout)) {
    if (Status about = check_source(record.text(Field::kAbout)); !about) return about;
  }
  return {};
}

Result<CheckedBatch> check_batch(Batch batch, const Allowance* allowance) {
  if (batch.source.empty() || batch.seq_first == 0 || batch.count == 0) {
    return fail(ErrorCode::kBadInput, "a batch needs a source, a first sequence number and records");
  }
  if (batch.count > kBatchRecordsMax || batch.bytes.size() > kBatchBytesMax) {
    return fail(ErrorCode::kLimit, fmt::format("a batch has at most {} records and {} bytes", kBatchRecordsMax, kBatchBytesMax));
  }
  CheckedBatch checked{std::move(batch), {}, {}};
  const Batch& of = checked.batch;
  checked.lengths.reserve(of.count);
  checked.leaves.reserve(of.count);
  const std::string where = fmt::format("batch of {}", of.source);
  ByteView rest = of.bytes;
  Record record;
  for (uint32_t i = 0; i < of.count; ++i) {
    const auto length = decode_first(rest, record);
    if (!length) return fail_in(fmt::format("{}, record {}", where, i), length);
    const ByteView bytes = rest.first(*length);
    if (Status good = check_record(record, of, of.seq_first + i); !good)
      return fail_in(fmt::format("{}, record {}", where, i), good);
    if (Status allowed = allowance == nullptr ? Status() : allowance->check_record(record); !allowed)
      return fail_in(fmt::format("{}, record {}", where, i), allowed);
    checked.lengths.push_back(static_cast<uint32_t>(*length));
    checked.leaves.push_back(leaf_hash(bytes));
    rest = rest.subspan(*length);
  }
  if (!rest.empty()) return fail(ErrorCode::kBadInput, fmt::format("{}: {} bytes follow its last record", where, rest.size()));
  return checked;
}

}  // namespace portbook
