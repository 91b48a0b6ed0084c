// Node 18 has WebCrypto, but not yet as a global.
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto as Crypto;
