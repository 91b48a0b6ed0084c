#include "record/fields.h"

#include <algorithm>

namespace portbook {

namespace {

constexpr auto kKinds = std::to_array<EnumName>({{1, "open"},
                                                 {2, "close"},
                                                 {3, "failed"},
                                                 {4, "listen"},
                                                 {5, "used_by"},
                                                 {6, "existing"},
                                                 {7, "process"},
                                                 {8, "nat_open"},
                                                 {9, "nat_close"},
                                                 {10, "address"},
                                                 {11, "proxy"},
                                                 {12, "note"},
                                                 {13, "batch"},
                                                 {14, "gap"},
                                                 {15, "source_start"},
                                                 {16, "source_stop"},
                                                 {17, "clock"},
                                                 {18, "admin"}});
constexpr auto kVantages =
    std::to_array<EnumName>({{1, "socket"}, {2, "nat"}, {3, "proxy"}, {4, "app"}, {5, "gateway"}, {6, "book"}});
constexpr auto kProtos = std::to_array<EnumName>({{1, "icmp"}, {6, "tcp"}, {17, "udp"}, {58, "icmp6"}, {132, "sctp"}});
constexpr auto kDirections = std::to_array<EnumName>({{1, "out"}, {2, "in"}, {3, "forward"}});
constexpr auto kOutcomes = std::to_array<EnumName>(
    {{1, "ok"}, {2, "refused"}, {3, "timeout"}, {4, "unreachable"}, {5, "reset"}, {6, "denied"}, {7, "error"}});
constexpr auto kNats = std::to_array<EnumName>({{1, "translated"}, {2, "none"}, {3, "unknown"}});
constexpr auto kNatReasons =
    std::to_array<EnumName>({{1, "no_conntrack"}, {2, "no_entry"}, {3, "gap"}, {4, "not_covered"}, {5, "not_permitted"}});
constexpr auto kClockStates = std::to_array<EnumName>({{1, "synchronised"}, {2, "not_synchronised"}});
constexpr auto kFamilies = std::to_array<EnumName>({{1, "inet"}, {2, "inet6"}});
constexpr auto kRoles = std::to_array<EnumName>({{1, "creator"}, {2, "listener"}, {3, "acceptor"}, {4, "user"}, {5, "closer"}});
constexpr auto kAddressStates = std::to_array<EnumName>({{1, "up"}, {2, "down"}});

}  // namespace

std::span<const EnumName> enum_names(Field field) {
  switch (field) {
    case Field::kKind: return kKinds;
    case Field::kVantage: return kVantages;
    case Field::kProto: return kProtos;
    case Field::kDirection: return kDirections;
    case Field::kOutcome: return kOutcomes;
    case Field::kNat: return kNats;
    case Field::kNatReason: return kNatReasons;
    case Field::kClockState: return kClockStates;
    case Field::kFamily: return kFamilies;
    case Field::kRole: return kRoles;
    case Field::kState: return kAddressStates;
    default: return {};
  }
}

namespace {

// The fields by a hash of their names, in an open table: import looks up some twenty names for each record.
constexpr size_t kNameSlots = 256;
constexpr uint8_t kNoField = 255;
static_assert(kFieldCount < kNameSlots / 2);

constexpr size_t name_slot(std::string_view name) {
  const auto at = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(name[i])); };
  return (name.size() * 37 + at(0) * 11 + at(name.size() - 1) * 29 + at(name.size() / 2) * 5) % kNameSlots;
}

constexpr auto kByName = [] {
  std::array<uint8_t, kNameSlots> slots;
  slots.fill(kNoField);
  for (size_t i = 0; i < kFieldCount; ++i) {
    size_t slot = name_slot(kFields[i].name);
    while (slots[slot] != kNoField) slot = (slot + 1) % kNameSlots;
    slots[slot] = static_cast<uint8_t>(i);
  }
  return slots;
}();

}  // namespace

std::optional<Field> field_named(std::string_view name) {
  if (name.empty()) return std::nullopt;
  for (size_t slot = name_slot(name); kByName[slot] != kNoField; slot = (slot + 1) % kNameSlots) {
    const FieldInfo& field = kFields[kByName[slot]];
    if (field.name == name) return field.field;
  }
  return std::nullopt;
}

std::string_view enum_name(Field field, uint64_t value) {
  for (const EnumName& entry : enum_names(field)) {
    if (entry.value == value) return entry.name;
  }
  return {};
}

std::optional<uint64_t> enum_value(Field field, std::string_view name) {
  for (const EnumName& entry : enum_names(field)) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

}  // namespace portbook
