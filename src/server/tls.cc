#include "server/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.h"

namespace portbook {

namespace {

std::string newest_openssl_error() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "not understood" : reason;
}

Status readable(const std::filesystem::path& path) {
  if (access(path.c_str(), R_OK) == 0) return {};
  return fail(errno == EACCES ? ErrorCode::kDenied : ErrorCode::kIo,
              fmt::format("cannot read {}: {}", path.string(), strerror(errno)));
}

// A key with a passphrase is refused: nobody is there to type it.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

}  // namespace

Result<TlsIdentity> load_tls_identity(const TlsFiles& files) {
  for (const auto& path : {files.certificate, files.key}) {
    if (Status status = readable(path); !status) return std::unexpected(status.error());
  }
  ERR_clear_error();
  TlsIdentity identity(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  PB_CHECK(identity != nullptr);
  SSL_CTX_set_min_proto_version(identity.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(identity.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Of TLS 1.2 what keeps the past secret when the key is lost, and is authenticated; those of TLS 1.3 all are.
  PB_CHECK(SSL_CTX_set_cipher_list(identity.get(), "ECDHE+AESGCM:ECDHE+CHACHA20") == 1);
  SSL_CTX_set_default_passwd_cb(identity.get(), no_passphrase);
  if (SSL_CTX_use_certificate_chain_file(identity.get(), files.certificate.c_str()) != 1) {
    return fail(ErrorCode::kBadInput,
                fmt::format("{} holds no certificate in PEM: {}", files.certificate.string(), newest_openssl_error()));
  }
  if (SSL_CTX_use_PrivateKey_file(identity.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail(ErrorCode::kBadInput,
                fmt::format("{} holds no key in PEM that needs no passphrase and belongs to the certificate: {}",
                            files.key.string(), newest_openssl_error()));
  }
  return identity;
}

}  // namespace portbook
