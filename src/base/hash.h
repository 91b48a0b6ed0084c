// SHA-256, the only hash that evidence depends on (FIPS 180-4, through OpenSSL).
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace portbook {

using Hash = std::array<Byte, 32>;

// SHA-256 of the parts joined together.
Hash sha256(ByteView a);
Hash sha256(ByteView a, ByteView b);
Hash sha256(ByteView a, ByteView b, ByteView c);

}  // namespace portbook
