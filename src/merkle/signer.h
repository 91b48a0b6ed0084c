// Who signs checkpoints, and who checks them: Ed25519 (RFC 8032, through OpenSSL) behind an interface that a separate process, TPM
// or HSM can take over.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/result.h"

namespace portbook {

using Ed25519Public = std::array<Byte, 32>;
using Ed25519Seed = std::array<Byte, 32>;
using Ed25519Signature = std::array<Byte, 64>;

// Thread-safe.
class Signer {
 public:
  virtual ~Signer() = default;
  // The key's name in signed notes; the same as the checkpoints' origin.
  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual const Ed25519Public& public_key() const = 0;
  // Errors: kUnavailable when whoever holds the key does not answer.
  virtual Result<Ed25519Signature> sign(ByteView message) = 0;
};

// Signs with a private key in this process's memory. `seed` is RFC 8032's 32-byte private key.
std::unique_ptr<Signer> make_ed25519_signer(std::string name, const Ed25519Seed& seed);

bool ed25519_verify(const Ed25519Public& key, ByteView message, const Ed25519Signature& signature);

}  // namespace portbook
