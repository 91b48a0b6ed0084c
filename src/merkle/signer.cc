#include "merkle/signer.h"

#include <openssl/evp.h>

#include <utility>

#include "base/check.h"

namespace portbook {

namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

class Ed25519Signer final : public Signer {
 public:
  Ed25519Signer(std::string name, const Ed25519Seed& seed)
      : name_(std::move(name)), key_(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size())) {
    size_t length = public_.size();
    PB_CHECK(key_ && EVP_PKEY_get_raw_public_key(key_.get(), public_.data(), &length) == 1 && length == public_.size());
  }

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] const Ed25519Public& public_key() const override { return public_; }
  Result<Ed25519Signature> sign(ByteView message) override {
    const Context context(EVP_MD_CTX_new());
    Ed25519Signature signature;
    size_t length = signature.size();
    PB_CHECK(context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1);
    PB_CHECK(EVP_DigestSign(context.get(), signature.data(), &length, message.data(), message.size()) == 1);
    PB_CHECK(length == signature.size());
    return signature;
  }

 private:
  std::string name_;
  Key key_;
  Ed25519Public public_{};
};

}  // namespace

std::unique_ptr<Signer> make_ed25519_signer(std::string name, const Ed25519Seed& seed) {
  return std::make_unique<Ed25519Signer>(std::move(name), seed);
}

bool ed25519_verify(const Ed25519Public& key, ByteView message, const Ed25519Signature& signature) {
  const Key loaded(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()));
  const Context context(EVP_MD_CTX_new());
  if (!loaded || !context || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, loaded.get()) != 1) return false;
  return EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
}

}  // namespace portbook
