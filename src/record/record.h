// The record: one fact, as one source saw it, at one time. This header is the value that every folder shares.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "record/endpoint.h"
#include "record/fields.h"

namespace portbook {

using Id128 = std::array<Byte, 16>;

// A record's fields. An absent field is unknown; no value stands for unknown.
// Made to be used again: after clear() setting fields allocates only when the texts are longer than ever before.
// Each setter and getter needs the field's own type (field table), or it aborts. Values above the field's maximum abort too, but
// for texts: those are cut to it at a UTF-8 boundary and the field's name is added to `cut`.
class Record {
 public:
  void clear() {
    fields_.clear();
    text_.clear();
  }

  [[nodiscard]] bool has(Field field) const { return fields_.has(field); }
  [[nodiscard]] const FieldSet& fields() const { return fields_; }
  void remove(Field field) { fields_.remove(field); }

  // kUint, kTime, kDuration, kPort, kEnum. A port of 0 removes the field: it is never a value.
  void set(Field field, uint64_t value) {
    const FieldType type = type_of(field);
    PB_CHECK(is_number(type) && value <= info(field).maximum);
    if (type == FieldType::kPort && value == 0) {
      fields_.remove(field);
    } else {
      put(field).number = value;
    }
  }
  template <typename E>
    requires std::is_enum_v<E>
  void set(Field field, E value) {
    set(field, static_cast<uint64_t>(value));
  }
  void set_signed(Field field, int64_t value) {  // kSigned
    PB_CHECK(type_of(field) == FieldType::kSigned);
    put(field).number = static_cast<uint64_t>(value);
  }
  void set(Field field, const Ip& value) {  // kIp
    PB_CHECK(type_of(field) == FieldType::kIp);
    put(field).ip = value;
  }
  void set(Field field, const Id128& value) {  // kId128
    PB_CHECK(type_of(field) == FieldType::kId128);
    put(field).id = value;
  }
  void set(Field field, std::string_view value) {  // kText, kCbor; bytes of any kind
    PB_CHECK(is_text(type_of(field)));
    if (value.size() > info(field).maximum) [[unlikely]] {
      set_cut(field, value);
      return;
    }
    put(field).text = {static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(value.size())};
    text_.append(value);
  }
  void set(Field field, const char* value) { set(field, std::string_view(value)); }
  // Sets an address and its port; leaves the port absent where it is 0.
  void set(Field ip_field, Field port_field, const Endpoint& endpoint);

  // Need has(field), or they abort.
  [[nodiscard]] uint64_t uint(Field field) const {
    PB_CHECK(has(field) && is_number(type_of(field)));
    return slots_[index_of(field)].number;
  }
  [[nodiscard]] int64_t signed_value(Field field) const {
    PB_CHECK(has(field) && type_of(field) == FieldType::kSigned);
    return static_cast<int64_t>(slots_[index_of(field)].number);
  }
  [[nodiscard]] const Ip& ip(Field field) const {
    PB_CHECK(has(field) && type_of(field) == FieldType::kIp);
    return slots_[index_of(field)].ip;
  }
  [[nodiscard]] const Id128& id128(Field field) const {
    PB_CHECK(has(field) && type_of(field) == FieldType::kId128);
    return slots_[index_of(field)].id;
  }
  [[nodiscard]] std::string_view text(Field field) const {  // valid until the next set or clear
    PB_CHECK(has(field) && is_text(type_of(field)));
    const Slot& slot = slots_[index_of(field)];
    return {text_.data() + slot.text.offset, slot.text.length};
  }

  // Absent becomes the given default or nothing.
  [[nodiscard]] uint64_t uint_or(Field field, uint64_t absent) const { return has(field) ? uint(field) : absent; }
  [[nodiscard]] std::string_view text_or(Field field, std::string_view absent) const { return has(field) ? text(field) : absent; }
  [[nodiscard]] std::optional<Endpoint> endpoint(Field ip_field, Field port_field) const;  // needs the address; port 0 if absent

  // Records always have a kind once set; these need their field.
  [[nodiscard]] Kind kind() const { return static_cast<Kind>(uint(Field::kKind)); }
  [[nodiscard]] TimeNs time() const { return uint(Field::kTime); }

  // Same fields with the same values.
  bool operator==(const Record& other) const;

 private:
  union Slot {
    Slot() : number(0) {}
    uint64_t number;
    struct Text {
      uint32_t offset;
      uint32_t length;
    } text;
    Ip ip;
    Id128 id;
  };
  static_assert(sizeof(Slot) == 16);
  static constexpr bool is_number(FieldType type) {
    return type == FieldType::kUint || type == FieldType::kTime || type == FieldType::kDuration || type == FieldType::kPort ||
           type == FieldType::kEnum;
  }
  static constexpr bool is_text(FieldType type) { return type == FieldType::kText || type == FieldType::kCbor; }
  Slot& put(Field field) {
    fields_.add(field);
    return slots_[index_of(field)];
  }
  void set_cut(Field field, std::string_view value);

  FieldSet fields_;
  std::array<Slot, kFieldCount> slots_;
  std::string text_;
};

// The local end of a socket record: src for out, dst for in; nothing when direction or address is absent.
std::optional<Endpoint> local_end(const Record& record);
std::optional<Endpoint> remote_end(const Record& record);

}  // namespace portbook
