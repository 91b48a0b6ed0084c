// A record's fields as the panel shows them: in groups, each with the text that stands and the value that a filter takes.
import { clockError, count, duration } from "../format/numbers";
import { clockMs, date, digits } from "../format/times";
import { fieldTable } from "../proof/field_table";
import { fieldByName, type FieldValue } from "../proof/record";

export interface Line {
  name: string;
  doc: string;
  text: string;
  dim: string; // what follows, dimmed: digits below the clock's error, units
  filter: string | null; // the value as a filter takes it
}
export interface Group {
  title: string;
  lines: Line[];
}

const groups: [string, RegExp][] = [
  ["When", /^(time|clock_error|clock_state|start|end|received|clock_step)$/],
  ["Both ends", /^(proto|direction|outcome|errno|family|(src|dst|up|claimed)\..*|nat|nat_reason|address|prefix|interface|state)$/],
  ["Owner of the local end", /^(pid|process_start|exe|comm|cmdline|cwd|uid|gid|user|loginuid|login_user|audit_session|role|ppid|parent_start|cgroup|container.*|pod|redacted)$/],
  ["Measured", /^(bytes_.*|packets_.*|rtt|retransmits|count)$/],
  ["Origin of this record", /./],
];

export function grouped(fields: Map<string, FieldValue>): Group[] {
  const error = fields.get("clock_error");
  const out = groups.map(([title]) => ({ title, lines: [] as Line[] }));
  for (const { name } of fieldTable) {
    const value = fields.get(name);
    if (value === undefined) continue;
    out[groups.findIndex(([, names]) => names.test(name))]!.lines.push(line(name, value, typeof error === "number" ? error : null));
  }
  return out.filter((group) => group.lines.length > 0);
}

function line(name: string, value: FieldValue, errorNs: number | null): Line {
  const info = fieldByName.get(name)!;
  const plain = typeof value === "object" ? value.hex : String(value);
  const made = { name, doc: info.doc, text: plain, dim: "", filter: typeof value === "object" ? null : plain };
  if (info.type === "time" && typeof value === "string") {
    const [known, below] = digits(value, errorNs);
    return { ...made, text: `${name === "time" ? `${date(value)} ` : ""}${value.slice(11, 20)}${known}`, dim: below, filter: null };
  }
  if (info.type === "duration" && typeof value === "number") {
    return { ...made, text: name === "clock_error" ? clockError(value) : duration(value), filter: null };
  }
  if (typeof value === "object") return { ...made, dim: " not text", filter: null };
  if (/^(bytes|packets)_|^(source_seq|first_index|seq_|count)/.test(name)) return { ...made, text: count(Number(value)) };
  return made;
}

export const momentText = (time: string): string => `${date(time)} ${clockMs(time)}`;
