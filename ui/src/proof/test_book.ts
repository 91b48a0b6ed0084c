// A tiny book for tests: a naive tree (the slow oracle, straight from RFC 6962's definitions) and a signer.
import { concat, toBase64, toHex, utf8 } from "./bytes";
import { emptyRoot, type Hash, leafHash, nodeHash, sha256 } from "./merkle";

const split = (n: number) => {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
};

export async function treeRoot(leaves: Hash[]): Promise<Hash> {
  if (leaves.length === 0) return emptyRoot();
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return nodeHash(await treeRoot(leaves.slice(0, k)), await treeRoot(leaves.slice(k)));
}

// PATH(m, D[n])
export async function inclusionPath(m: number, leaves: Hash[]): Promise<Hash[]> {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  if (m < k) return [...(await inclusionPath(m, leaves.slice(0, k))), await treeRoot(leaves.slice(k))];
  return [...(await inclusionPath(m - k, leaves.slice(k))), await treeRoot(leaves.slice(0, k))];
}

// PROOF(m, D[n])
export async function consistencyPath(m: number, leaves: Hash[], whole = true): Promise<Hash[]> {
  const n = leaves.length;
  if (m === n) return whole ? [] : [await treeRoot(leaves)];
  const k = split(n);
  if (m <= k) return [...(await consistencyPath(m, leaves.slice(0, k), whole)), await treeRoot(leaves.slice(k))];
  return [...(await consistencyPath(m - k, leaves.slice(k), false)), await treeRoot(leaves.slice(0, k))];
}

export class TestBook {
  leaves: Hash[] = [];
  records: Uint8Array[] = [];
  private constructor(
    readonly origin: string,
    private readonly pair: CryptoKeyPair,
    private readonly id: Uint8Array,
    readonly vkey: string,
  ) {}

  static async create(origin = "portbook.example.org/test"): Promise<TestBook> {
    const pair = (await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"])) as CryptoKeyPair;
    const typed = concat(Uint8Array.of(1), new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
    const id = (await sha256(concat(utf8(`${origin}\n`), typed))).slice(0, 4);
    return new TestBook(origin, pair, id, `${origin}+${toHex(id)}+${toBase64(typed)}`);
  }

  async add(...records: Uint8Array[]): Promise<void> {
    for (const record of records) {
      this.records.push(record);
      this.leaves.push(await leafHash(record));
    }
  }

  async checkpoint(size = this.leaves.length): Promise<string> {
    const text = `${this.origin}\n${size}\n${toBase64(await treeRoot(this.leaves.slice(0, size)))}\n`;
    const signature = new Uint8Array(await crypto.subtle.sign({ name: "Ed25519" }, this.pair.privateKey, utf8(text) as BufferSource));
    return `${text}\n— ${this.origin} ${toBase64(concat(this.id, signature))}\n`;
  }

  async answer(id: number, record: Record<string, unknown>) {
    const hashes = (await inclusionPath(id, this.leaves)).map(toBase64);
    const proof = { index: id, size: this.leaves.length, hashes, checkpoint: await this.checkpoint() };
    return { id, record, bytes: toHex(this.records[id]!), leaf: toHex(this.leaves[id]!), proof };
  }

  async consistency(from: number) {
    if (from < 1 || from > this.leaves.length) return "refused" as const;
    const hashes = (await consistencyPath(from, this.leaves)).map(toBase64);
    return { from, to: this.leaves.length, hashes, checkpoint: await this.checkpoint() };
  }
}
