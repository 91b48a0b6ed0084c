// How the fields of a sealed block stand together. Much of a record repeats: a `close` says again what its `open` said, a process
// opens many connections, a host has many processes. So a block has *tables*: a row's place in the table of connections, that
// entry's places in the tables of owners and flows, an owner's place in the table of hosts. A field's values stand in the table
// where they change least, once for each entry.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "record/fields.h"

namespace portbook {

enum class BlockTable : uint8_t { kRows, kConnections, kOwners, kFlows, kHosts };
inline constexpr size_t kTableCount = 5;
inline constexpr std::array kJointTables = {BlockTable::kConnections, BlockTable::kOwners, BlockTable::kFlows, BlockTable::kHosts};

constexpr size_t index_of(BlockTable table) {
  return static_cast<size_t>(table);
}
// The table whose entries name entries of `table`, which is not kRows.
constexpr BlockTable parent_of(BlockTable table) {
  switch (table) {
    case BlockTable::kOwners:
    case BlockTable::kFlows: return BlockTable::kConnections;
    case BlockTable::kHosts: return BlockTable::kOwners;
    default: return BlockTable::kRows;
  }
}
// True if each entry of `above` leads to one of `table`.
constexpr bool leads_to(BlockTable above, BlockTable table) {
  while (table != above) {
    if (table == BlockTable::kRows) return false;
    table = parent_of(table);
  }
  return true;
}

// How the numbers that stand in a file become a word's values. Values stand in sealed files.
enum class Relation : uint8_t {
  kNone = 0,     // they are the values
  kNear = 1,     // zigzag difference from another field's value
  kOfShape = 2,  // place in the list of values that rows of the same shape have
  kOfHost = 3,   // place in the list of values that rows of the same host have
  kBelow = 4,    // how far below the greatest value of the same host
};

// A word is a field's value as a number: of a text its id, of an address or id128 one of its two halves.
struct WordPlan {
  BlockTable table = BlockTable::kRows;
  Relation relation = Relation::kNone;  // the one that may be used besides none
  Field near = Field::kKind;            // kNear: that field's word, of the same half
  bool near_opening = false;            // that of the connection's first row in the block, instead of the same row
};

constexpr size_t words_of(FieldType type) {
  return type == FieldType::kIp || type == FieldType::kId128 ? 2 : 1;
}
constexpr bool is_text(FieldType type) {
  return type == FieldType::kText || type == FieldType::kCbor;
}

constexpr WordPlan plan_of(Field field, size_t half) {
  switch (field) {
    case Field::kHost:
    case Field::kSource:
    case Field::kVantage:
    case Field::kClockState: return {.table = BlockTable::kHosts};
    case Field::kPid:
    case Field::kProcessStart:
    case Field::kExe:
    case Field::kUid:
    case Field::kGid:
    case Field::kContainer:
    case Field::kNetns:
    case Field::kZone: return {.table = BlockTable::kOwners};
    case Field::kProto:
    case Field::kSrcIp:
    case Field::kSrcPort:
    case Field::kDstIp:
    case Field::kDstPort: return {.table = BlockTable::kFlows};
    case Field::kDirection:
    case Field::kNat:
    case Field::kNatReason:
    case Field::kFamily:
    case Field::kConntrackId:
    case Field::kUpSrcIp:
    case Field::kUpSrcPort:
    case Field::kUpDstIp:
    case Field::kUpDstPort:
    case Field::kClaimedIp:
    case Field::kClaimedPort: return {.table = BlockTable::kConnections};
    case Field::kConn:
      if (half == 0) return {.table = BlockTable::kHosts};
      return {.table = BlockTable::kConnections, .relation = Relation::kBelow};
    case Field::kSrcNatIp: return {.table = BlockTable::kConnections, .relation = Relation::kNear, .near = Field::kSrcIp};
    case Field::kSrcNatPort: return {.table = BlockTable::kConnections, .relation = Relation::kNear, .near = Field::kSrcPort};
    case Field::kDstNatIp: return {.table = BlockTable::kConnections, .relation = Relation::kNear, .near = Field::kDstIp};
    case Field::kDstNatPort: return {.table = BlockTable::kConnections, .relation = Relation::kNear, .near = Field::kDstPort};
    case Field::kStart: return {.relation = Relation::kNear, .near = Field::kTime, .near_opening = true};
    case Field::kEnd:
    case Field::kReceived: return {.relation = Relation::kNear, .near = Field::kTime};
    case Field::kSeqLast: return {.relation = Relation::kNear, .near = Field::kSeqFirst};
    case Field::kClockError: return {.relation = Relation::kOfHost};
    case Field::kKind:
    case Field::kOutcome:
    case Field::kRole:
    case Field::kState:
    case Field::kErrno: return {.relation = Relation::kOfShape};
    default: return {};
  }
}

// A field near which another one may stand. Its own values never depend on a third one's, and it stands in the same table as the
// other, or in one that the other's table leads to.
constexpr bool has_near_fields(Field field) {
  for (const FieldInfo& about : kFields) {
    const WordPlan plan = plan_of(about.field, 0);
    if (plan.relation == Relation::kNear && plan.near == field) return true;
  }
  return false;
}
static_assert([] {
  for (const FieldInfo& about : kFields) {
    for (size_t half = 0; half < words_of(about.type); ++half) {
      const WordPlan plan = plan_of(about.field, half);
      if (is_text(about.type) && plan.relation != Relation::kNone) return false;
      if (plan.relation == Relation::kOfShape && plan.table != BlockTable::kRows) return false;
      if (plan.relation == Relation::kOfHost && plan.table != BlockTable::kRows) return false;
      if (plan.relation == Relation::kBelow && !leads_to(plan.table, BlockTable::kHosts)) return false;
      if (plan.relation != Relation::kNear) continue;
      if (words_of(about.type) != words_of(info(plan.near).type)) return false;
      if (plan_of(plan.near, half).relation != Relation::kNone || plan_of(plan.near, half).table != plan_of(plan.near, 0).table)
        return false;
      const BlockTable near_table = plan_of(plan.near, half).table;
      if (plan.table == BlockTable::kRows ? near_table != BlockTable::kRows
                                          : plan.near_opening || !leads_to(plan.table, near_table))
        return false;
    }
  }
  return true;
}());

// The fields of `wanted` and those that their values need.
constexpr FieldSet with_near_fields(FieldSet wanted) {
  FieldSet all = wanted;
  wanted.for_each([&](Field field) {
    if (const WordPlan plan = plan_of(field, 0); plan.relation == Relation::kNear) all.add(plan.near);
  });
  return all;
}

}  // namespace portbook
