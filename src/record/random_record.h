// Arbitrary records for tests: any field may be present, with values at and around the limits of its type.
#pragma once

#include <random>
#include <string>

#include "record/cbor_item.h"
#include "record/record.h"

namespace portbook {

class RandomRecords {
 public:
  explicit RandomRecords(uint64_t seed) : random_(seed) {}

  // Fills `record` with a kind and about `fields_of_ten` in ten of the other fields.
  void next(Record& record, unsigned fields_of_ten = 3) {
    record.clear();
    for (const FieldInfo& about : kFields) {
      if (about.field == Field::kKind || below(10) < fields_of_ten) fill(record, about);
    }
  }

  uint64_t below(uint64_t bound) { return random_() % bound; }

 private:
  uint64_t number(uint64_t maximum) {
    constexpr uint64_t kEdges[] = {0, 1, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, uint64_t{UINT32_MAX} + 1, UINT64_MAX};
    const uint64_t value = below(2) == 0 ? kEdges[below(std::size(kEdges))] : random_() >> below(64);
    return maximum == UINT64_MAX ? value : value % (maximum + 1);
  }
  std::string text(uint64_t maximum) {
    const uint64_t kind = below(8);
    const uint64_t length = kind == 0 ? maximum : below(std::min<uint64_t>(maximum, 40) + 1);
    std::string out;
    while (out.size() < length) out += kind == 1 ? static_cast<char>(below(256)) : static_cast<char>('!' + below(90));
    return out;
  }
  void fill(Record& record, const FieldInfo& about) {
    switch (about.type) {
      case FieldType::kEnum: {
        const auto names = enum_names(about.field);
        record.set(about.field, names[below(names.size())].value);
        return;
      }
      case FieldType::kSigned: record.set_signed(about.field, static_cast<int64_t>(number(UINT64_MAX))); return;
      case FieldType::kIp: {
        std::array<Byte, 16> raw;
        for (Byte& b : raw) b = static_cast<Byte>(random_());
        record.set(about.field, below(2) == 0 ? Ip::v4(raw.data()) : Ip::v6(raw.data()));
        return;
      }
      case FieldType::kId128: {
        Id128 id;
        for (Byte& b : id) b = static_cast<Byte>(random_());
        record.set(about.field, id);
        return;
      }
      case FieldType::kText: record.set(about.field, text(about.maximum)); return;
      case FieldType::kCbor: {
        Bytes bytes;
        append_cbor_head(bytes, CborMajor::kMap, 2);
        append_cbor_string(bytes, CborMajor::kText, as_bytes("a"));
        append_cbor_head(bytes, CborMajor::kUnsigned, number(UINT64_MAX));
        append_cbor_string(bytes, CborMajor::kText, as_bytes("b"));
        append_cbor_string(bytes, CborMajor::kText, as_bytes("value"));
        record.set(about.field, as_text(bytes));
        return;
      }
      default: record.set(about.field, number(about.maximum)); return;
    }
  }

  std::mt19937_64 random_;
};

}  // namespace portbook
