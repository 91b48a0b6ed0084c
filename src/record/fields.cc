#include "record/fields.h"

#include <bit>
#include <cstring>

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

constexpr std::span<const EnumName> names_of(Field field) {
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

// The fields by their names, in an open table: import looks up some twenty names for each record.
constexpr size_t kNameSlots = 256;
constexpr uint8_t kNoField = 255;
static_assert(kFieldCount < kNameSlots / 2);

// The first and the last eight bytes of a name, which overlap or are filled up with zeros where it is shorter.
struct NameEnds {
  uint64_t first = 0;
  uint64_t last = 0;
  constexpr bool operator==(const NameEnds&) const = default;
};

template <typename T>
constexpr uint64_t load_at(const char* text) {
  T value = 0;
  if consteval {
    for (size_t i = sizeof(T); i-- > 0;) value = static_cast<T>(value << 8 | static_cast<uint8_t>(text[i]));
  } else {
    std::memcpy(&value, text, sizeof(T));
  }
  return value;
}
static_assert(std::endian::native == std::endian::little);

// Needs a name of at least one byte.
constexpr NameEnds ends_of(std::string_view name) {
  const char* const begin = name.data();
  const char* const end = begin + name.size();
  if (name.size() >= 8) return {load_at<uint64_t>(begin), load_at<uint64_t>(end - 8)};
  if (name.size() >= 4) return {load_at<uint32_t>(begin), load_at<uint32_t>(end - 4)};
  return {load_at<uint8_t>(begin), load_at<uint8_t>(begin + name.size() / 2) << 8 | load_at<uint8_t>(end - 1)};
}

constexpr size_t name_slot(const NameEnds& ends, size_t size) {
  return ((ends.first ^ std::rotl(ends.last, 29)) + size) * 0x9e37'79b9'7f4a'7c15 >> 56;
}

struct NamedField {
  NameEnds ends;
  uint8_t size = 0;
  uint8_t field = kNoField;
};

constexpr auto kByName = [] {
  std::array<NamedField, kNameSlots> slots;
  for (size_t i = 0; i < kFieldCount; ++i) {
    const std::string_view name = kFields[i].name;
    const NameEnds ends = ends_of(name);
    size_t slot = name_slot(ends, name.size());
    while (slots[slot].field != kNoField) slot = (slot + 1) % kNameSlots;
    slots[slot] = {ends, static_cast<uint8_t>(name.size()), static_cast<uint8_t>(i)};
  }
  return slots;
}();

// Bit v: the field has a value v of that name. No enumerated field but `proto`, which also takes numbers without a name, has one
// beyond 63.
constexpr auto kKnownValues = [] {
  std::array<uint64_t, kFieldCount> known{};
  for (const FieldInfo& about : kFields) {
    for (const EnumName& entry : names_of(about.field)) {
      if (entry.value < 64) known[index_of(about.field)] |= uint64_t{1} << entry.value;
    }
  }
  return known;
}();

}  // namespace

std::span<const EnumName> enum_names(Field field) {
  return names_of(field);
}

bool is_named_value(Field field, uint64_t value) {
  if (value >= 64) return !enum_name(field, value).empty();
  return (kKnownValues[index_of(field)] >> value & 1) != 0;
}

std::optional<Field> field_named(std::string_view name) {
  if (name.empty()) return std::nullopt;
  const NameEnds ends = ends_of(name);
  for (size_t slot = name_slot(ends, name.size()); kByName[slot].field != kNoField; slot = (slot + 1) % kNameSlots) {
    const NamedField& one = kByName[slot];
    if (one.size != name.size() || one.ends != ends) continue;
    const auto field = static_cast<Field>(one.field);
    // Up to 16 bytes the ends are the whole name.
    if (name.size() <= 16 || info(field).name == name) return field;
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
