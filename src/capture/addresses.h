// The addresses of one network namespace, as records of their coming and going.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "capture/address_message.h"
#include "capture/boot_clock.h"
#include "record/record.h"

namespace portbook {

// Owned by one thread; everything passed in outlives it.
class Addresses {
 public:
  using Emit = std::function<void(Record&)>;
  Addresses(uint32_t netns, const BootClock& clock, Emit emit) : netns_(netns), clock_(clock), emit_(std::move(emit)) {}

  void apply(const AddressMessage& message, TimeNs now);
  // Around a dump, as Leases: what is not in it has gone unseen.
  void begin_dump();
  void end_dump(TimeNs now, std::string_view cause);
  void end_all(TimeNs now, std::string_view cause);

 private:
  struct Held {
    uint8_t prefix_bits = 0;
    uint32_t dump = 0;
  };
  using Key = std::pair<Ip, uint32_t>;  // address, interface
  void write(AddressState state, const Key& key, const Held& held, TimeNs now, std::string_view cause);

  const uint32_t netns_;
  const BootClock& clock_;
  const Emit emit_;
  std::map<Key, Held> held_;
  std::map<uint32_t, std::string> interfaces_;
  uint32_t dump_ = 0;
};

}  // namespace portbook
