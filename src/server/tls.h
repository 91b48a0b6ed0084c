// The book's certificate and key, for callers from elsewhere. TLS 1.2 and newer.
#pragma once

#include <filesystem>
#include <memory>

#include "base/result.h"

struct ssl_ctx_st;

namespace portbook {

struct TlsFiles {
  std::filesystem::path certificate;  // PEM: the server's, then those between it and the authority
  std::filesystem::path key;          // PEM, without a passphrase
};

// OpenSSL's own counted object: what was accepted with an older one goes on when a newer is loaded.
using TlsIdentity = std::shared_ptr<ssl_ctx_st>;

// Reads both files. Errors: kBadInput (no certificate, no key, they do not belong together), kDenied, kIo; each names the file.
Result<TlsIdentity> load_tls_identity(const TlsFiles& files);

}  // namespace portbook
