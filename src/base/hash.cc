// The low-level calls are used on purpose: through EVP a short message costs 1.2 to 1.8 times as much.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <openssl/sha.h>

namespace portbook {

Hash sha256(ByteView a) {
  return sha256(a, {}, {});
}
Hash sha256(ByteView a, ByteView b) {
  return sha256(a, b, {});
}
Hash sha256(ByteView a, ByteView b, ByteView c) {
  SHA256_CTX context;
  SHA256_Init(&context);
  for (const ByteView part : {a, b, c}) {
    if (!part.empty()) SHA256_Update(&context, part.data(), part.size());
  }
  Hash hash;
  SHA256_Final(hash.data(), &context);
  return hash;
}

}  // namespace portbook
