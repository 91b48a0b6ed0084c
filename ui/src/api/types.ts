// The HTTP API, version 1, as the page uses it.

export type Fields = Record<string, unknown>; // dotted names

export interface Row {
  id: number;
  state: "open" | "closed" | "failed" | "record";
  record: Fields;
  start: string | null;
  duration_ns: number | null;
  internal: string | null;
  external: string | null;
  nat: "translated" | "none" | "unknown" | null;
  nat_reason: string | null;
  records: number[];
}

export type CompletenessState = "complete" | "incomplete" | "not_covered" | "clock_not_synchronised";
export interface Completeness {
  state: CompletenessState;
  sentence: string;
  missing?: { source: string; from: string | null; to: string | null; cause: string; record: number | null }[];
  sources?: { source: string; host: string; since: string; record: number }[];
}

export interface SearchEnd {
  rows: number;
  cursor: string | null;
  size: number;
  first_row_us: number;
  took_us: number;
  scanned: number;
  completeness: Completeness;
}

export interface Process {
  pid: number;
  start: string | null;
  exe: string | null;
  comm: string | null;
  cmdline: string | null;
  cwd: string | null;
  uid: number | null;
  user: string | null;
  loginuid: number | null;
  login_user: string | null;
  audit_session: number | null;
  container: string | null;
  "container.name": string | null;
  record: number | null;
}

export interface RecordPage {
  id: number;
  record: Fields;
  bytes: string;
  leaf: string;
  proof: { index: number; size: number; hashes: string[]; checkpoint: string } | null;
  row: Row | null;
  process: Process | null;
  ancestors: Process[];
}

export type EdgeClass = "proven" | "stated" | "possible";
export interface Hop {
  class: EdgeClass;
  kind: "endpoint" | "lease" | "socket" | "process" | "ancestor";
  title: string;
  text: string;
  method: string;
  records: number[];
}

export interface Candidate {
  verdict: "matches" | "ruled_out" | "not_covering";
  relation: "owned" | "seen_by" | "listener";
  reason: string;
  position: "covers" | "before" | "after";
  distance_ns: number;
  state: string;
  internal: string | null;
  external: string | null;
  peer: string | null;
  host: string | null;
  netns: number | null;
  interval: { start: string | null; end: string | null; clock_error_ns: number | null };
  lease: { start: string | null; end: string | null; internal: string; external: string; record: number } | null;
  process: Process | null;
  ancestors: Process[];
  hops: Hop[];
  records: number[];
}

export type WhoVerdict = "owner" | "seen_by" | "listener" | "nobody" | "not_covered" | "incomplete" | "several";
export interface WhoAnswer {
  question: {
    text: string;
    endpoint: string;
    at: string;
    until: string | null;
    precision_ns: number;
    peer: string | null;
    host: string | null;
    window_ns: number;
    spans: { start: number; end: number; role: "time" | "endpoint" | "peer" }[];
  };
  verdict: WhoVerdict;
  sentence: string;
  detail: string;
  candidates: Candidate[];
  completeness: Completeness;
  size: number;
  took_us: number;
}

export interface CaptureLine {
  what: string;
  state: "ok" | "warn" | "off";
  means: string;
  detail: string;
}

export interface Agent {
  host: string;
  state: "connected" | "capturing" | "away" | "stopped" | "awaited";
  since: string; // of its connection, or of its end; awaited: when it was enrolled
  behind_since: string | null; // what it captured from then on may not be here yet
  version: string;
  last_batch: string | null;
  records: number;
  refused_batches: number;
  refusal: string | null;
  spool_bytes: number;
  spool_bytes_max: number;
  gaps: { standing: number; last_day: number; total: number };
  capture: CaptureLine[];
}

export interface Status {
  origin: string;
  vkey: string;
  version: string;
  host: string;
  size: number;
  checkpoint: string;
  started: string;
  read_only: string | null;
  recovery: string;
  completeness: Completeness;
  clock: { state: "synchronised" | "not_synchronised"; error_ns: number | null };
  capture: CaptureLine[];
  agents: Agent[];
  self_check: { rate: number; blocks: number; bytes: number; passes: number; pass_ended: string | null; findings: number; sentences: string[] };
  records_per_second: number;
  first_record: string | null;
  claimed: string[];
}

export interface SourceGap {
  from: string;
  to: string | null;
  count: number | null;
  cause: string;
  record: number;
}
export interface Source {
  source: string;
  host: string;
  state: "capturing" | "stopped" | "gap";
  since: string | null; // null: it never began
  covers: string;
  means: string;
  last_seq: number;
  gaps: SourceGap[];
  clock_error_ns: number | null;
}

export interface FieldDoc {
  name: string;
  type: string;
  doc: string;
  values: string[] | null;
  key: number | null;
}

export interface FieldValues {
  field: string;
  values: { value: string; count: number }[];
  total: number;
}

export interface Histogram {
  from: string;
  to: string;
  bucket_ns: number;
  counts: number[]; // failed ones included
  failed: number[];
  sampled?: boolean;
  gaps: { from: string; to: string | null; source: string; record: number | null }[];
}

export interface Facet {
  field: string;
  distinct: number;
  values: { value: string; count: number }[];
}
export interface Facets {
  facets: Facet[];
  rows: number;
  sampled?: boolean;
}

export interface TraceNode {
  id: number;
  start: boolean; // the question named it
  record: number;
  conn: string;
  host: string | null;
  netns: number | null;
  direction: "out" | "in";
  proto: string;
  state: "open" | "closed" | "failed";
  src: string;
  dst: string;
  external: string | null;
  server: string | null;
  interval: { start: string | null; seen: string; end: string | null; clock_error_ns: number | null };
  bytes_out: number | null;
  bytes_in: number | null;
  process: Process | null;
  ancestors: Process[]; // nearest first
  beyond: string | null; // why its other end is not known
  records: number[];
}

export interface TraceLease {
  host: string;
  internal: string;
  asked_for: string;
  external: string | null;
  server: string | null;
  start: string | null;
  end: string | null;
  records: number[];
}

export interface TraceEdge {
  class: EdgeClass;
  kind: "connection" | "process";
  from: number; // node that came first in the chain of causes
  to: number;
  method: string;
  order: string;
  leases: TraceLease[];
  records: number[];
}

export interface TraceAnswer {
  question: { text: string; record: number | null; endpoint: string | null; at: string | null };
  sentence: string;
  nodes: TraceNode[];
  edges: TraceEdge[];
  bounds: string[]; // what was not followed
  contradictions: { text: string; records: number[] }[]; // what a log says and other records speak against
  completeness: Completeness;
  size: number;
  took_us: number;
}

export interface Service {
  kind: "container" | "program" | "address";
  name: string;
  host: string | null;
}

export interface ServiceLink {
  from: Service;
  to: Service;
  port: string; // as its clients ask for it; "5432/tcp"
  count: number;
  failed: number;
  open: number;
  bytes_out: number;
  bytes_in: number;
  first: string;
  last: string;
}

export interface ServiceMap {
  links: ServiceLink[];
  connections: number;
  cut: boolean; // a limit was met: only the newest connections are in it
}

export interface CoverageReport {
  from: string;
  to: string;
  connections: number;
  shares: { what: "both_addresses" | "both_ports" | "synchronised_clock" | "identified_process"; count: number; share: string }[];
  external: { known: number; same: number; unknown: Record<string, number> };
  exceptions_total: number;
  cut: boolean;
}
