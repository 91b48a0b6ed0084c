// A candidate's hops as the chain draws them: places (endpoints, processes, a person) joined by edges (lease, socket owner, login).
import type { Candidate, EdgeClass, Hop } from "../api/types";

export interface Edge {
  class: EdgeClass;
  text: string;
  records: number[];
}
export interface Step {
  edge: Edge | null; // how it was reached from the step above; null for the first
  kind: "external" | "internal" | "endpoint" | "process" | "person";
  title: string;
  text: string;
  records: number[];
  ancestors: { title: string; record: number | null }[]; // outermost first
}

export function stepsOf(candidate: Candidate): Step[] {
  const steps: Step[] = [];
  let edge: Edge | null = null;
  for (const hop of candidate.hops) {
    if (hop.kind === "lease" || hop.kind === "socket") {
      edge = { class: hop.class, text: hop.text, records: hop.records };
    } else if (hop.kind === "ancestor") {
      steps.at(-1)?.ancestors.unshift({ title: hop.title, record: hop.records[0] ?? null });
    } else {
      const reached = steps.length === 0 ? null : (edge ?? { class: hop.class, text: joinedIn(candidate), records: [] });
      steps.push({ edge: reached, kind: kindOf(hop, candidate), title: hop.title, text: hop.text, records: hop.records, ancestors: [] });
      edge = null;
    }
  }
  const person = candidate.process?.login_user;
  if (person && candidate.relation !== "seen_by" && steps.at(-1)?.kind === "process") {
    const session = candidate.process!.audit_session;
    steps.push({
      edge: { class: "proven", text: "login uid of the process, kept by the kernel since the login", records: [] },
      kind: "person",
      title: person,
      text: session === null ? "logged in" : `logged in, session ${session}`,
      records: [],
      ancestors: [],
    });
  }
  return steps;
}

function kindOf(hop: Hop, candidate: Candidate): Step["kind"] {
  if (hop.kind === "process") return "process";
  if (hop.title === candidate.external && candidate.external !== candidate.internal) return "external";
  return hop.title === candidate.internal ? "internal" : "endpoint";
}

// Two endpoints without a record of their own between them stand in one socket record.
const joinedIn = (candidate: Candidate) => (candidate.relation === "seen_by" ? "the two ends of one connection" : "translated, as the socket’s own record says");
