#include "capture/addresses.h"

namespace portbook {

void Addresses::apply(const AddressMessage& message, TimeNs now) {
  const Key key{message.ip, message.index};
  switch (message.what) {
    case AddressMessage::What::kInterface:
      if (!message.name.empty()) interfaces_[message.index] = message.name;
      break;
    case AddressMessage::What::kInterfaceGone: interfaces_.erase(message.index); break;
    case AddressMessage::What::kAddressUp: {
      const auto [at, is_new] = held_.try_emplace(key);
      at->second = {message.prefix_bits, dump_};
      // The kernel also tells of lifetimes and flags; only coming and going are facts here.
      if (is_new) write(AddressState::kUp, key, at->second, now, {});
      break;
    }
    case AddressMessage::What::kAddressDown: {
      const auto at = held_.find(key);
      if (at == held_.end()) break;
      write(AddressState::kDown, key, at->second, now, {});
      held_.erase(at);
      break;
    }
  }
}

void Addresses::begin_dump() {
  ++dump_;
}

void Addresses::end_dump(TimeNs now, std::string_view cause) {
  for (auto at = held_.begin(); at != held_.end();) {
    if (at->second.dump == dump_) {
      ++at;
      continue;
    }
    write(AddressState::kDown, at->first, at->second, now, cause);
    at = held_.erase(at);
  }
}

void Addresses::end_all(TimeNs now, std::string_view cause) {
  for (const auto& [key, held] : held_) write(AddressState::kDown, key, held, now, cause);
  held_.clear();
}

void Addresses::write(AddressState state, const Key& key, const Held& held, TimeNs now, std::string_view cause) {
  Record record;
  record.set(Field::kKind, Kind::kAddress);
  record.set(Field::kTime, now);
  record.set(Field::kVantage, Vantage::kBook);
  record.set(Field::kAddress, key.first);
  record.set(Field::kPrefix, uint64_t{held.prefix_bits});
  record.set(Field::kState, state);
  record.set(Field::kNetns, uint64_t{netns_});
  const auto interface = interfaces_.find(key.second);
  if (interface != interfaces_.end()) record.set(Field::kInterface, interface->second);
  if (!cause.empty()) record.set(Field::kCause, cause);
  clock_.put_quality(record);
  emit_(record);
}

}  // namespace portbook
