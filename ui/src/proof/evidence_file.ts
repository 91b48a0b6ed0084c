// An evidence file (docs/formats/evidence.md) as far as this page reads it before it lets a person save it: its form, its digests,
// and each record with its proof. What is malformed is a FormatError that names the section.
import { concat, equal, FormatError, fromBase64, fromHex, toHex, utf8 } from "./bytes";
import { leafHash, sha256, verifyInclusion, type Hash } from "./merkle";
import type { Checkpoint, SignatureVerdict } from "./note";

export const kEvidenceBytesMax = 256 * 1024 * 1024;
const kFirstLine = "portbook-evidence 1\n";
const kProofLine = "c2sp.org/tlog-proof@v1";

interface Section {
  name: string;
  bytes: Uint8Array;
}
interface ProvenPart {
  index: number;
  bytes: Uint8Array;
  hashes: Hash[];
  note: string;
}
export interface EvidenceFile {
  vkey: string;
  records: ProvenPart[];
  rowsCut: number | null; // rows after which a search was cut; null: it was not, or is none
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function sectionsOf(file: Uint8Array): Promise<Section[]> {
  const first = utf8(kFirstLine);
  if (!equal(file.subarray(0, first.length), first)) throw new FormatError("it is not an evidence file");
  const sections: Section[] = [];
  for (let at = first.length; ; ) {
    const end = file.indexOf(10, at);
    if (end < 0) throw new FormatError("it ends without its last line");
    const line = text(file.subarray(at, end));
    if (line.startsWith("end ")) {
      if (line !== `end ${sections.length}` || end + 1 !== file.length) throw new FormatError("its last line does not fit");
      return sections;
    }
    const [, name = "", length = "", digest = ""] = /^(.+): (\d{1,9}) ([0-9a-f]{64})$/.exec(line) ?? [];
    const bytes = file.subarray(end + 1, end + 1 + Number(length));
    if (name === "" || file[end + 1 + Number(length)] !== 10) throw new FormatError(`a section at byte ${at} has no right first line`);
    if (toHex(await sha256(concat(utf8(`${name}\n`), bytes))) !== digest) throw new FormatError(`section ${name} is not as it was written`);
    sections.push({ name, bytes });
    at = end + 2 + Number(length);
  }
}

function provenOf(record: Section, proof: Section | undefined): ProvenPart {
  const index = Number(/^record (\d+)$/.exec(record.name)?.[1] ?? NaN);
  const lines = proof && proof.name === `proof ${index}` ? text(proof.bytes).split("\n") : [];
  const empty = lines.indexOf("");
  if (lines[0] !== kProofLine || lines[1] !== `index ${index}` || empty < 2) throw new FormatError(`the proof of ${record.name} cannot be read`);
  return { index, bytes: fromHex(text(record.bytes)), hashes: lines.slice(2, empty).map(fromBase64), note: lines.slice(empty + 1).join("\n") };
}

// Of a search: the rows after which it ends though it was not at its end.
function rowsCutOf(answer: string): number | null {
  const last = answer.trimEnd().split("\n").at(-1) ?? "";
  const { end } = JSON.parse(last) as { end?: { rows: number; cursor: string | null } };
  return end?.cursor ? end.rows : null;
}

// Throws FormatError.
export async function readEvidence(file: Uint8Array): Promise<EvidenceFile> {
  const sections = await sectionsOf(file);
  const [, answer, vkey] = sections;
  if (!answer || answer.name !== "answer" || vkey?.name !== "vkey") throw new FormatError("sections are missing");
  const records: ProvenPart[] = [];
  for (let i = 3; i + 1 < sections.length; i += 2) records.push(provenOf(sections[i]!, sections[i + 1]));
  if (records.length === 0) throw new FormatError("there is no record in it");
  return { vkey: text(vkey.bytes), records, rowsCut: rowsCutOf(text(answer.bytes)) };
}

// Whether each record leads to the root of the checkpoint that came with it. `signed` says what the checkpoint of a note is and whether
// the book's key signed it; it is asked once for each note. Throws FormatError, naming the record.
export async function checkProofs(
  file: EvidenceFile,
  signed: (note: string) => Promise<{ checkpoint: Checkpoint; signature: SignatureVerdict }>,
): Promise<Map<string, Checkpoint>> {
  const notes = new Map<string, Checkpoint>();
  for (const { index, bytes, hashes, note } of file.records) {
    if (!notes.has(note)) {
      const { checkpoint, signature } = await signed(note);
      if (signature === "bad") throw new FormatError(`the checkpoint of record ${index} is not signed by this book’s key`);
      notes.set(note, checkpoint);
    }
    const { size, root } = notes.get(note)!;
    if (!(await verifyInclusion(index, size, await leafHash(bytes), hashes, root))) throw new FormatError(`record ${index} does not lead to the root of ${size}`);
  }
  return notes;
}
