// What is selected on the trace, as it stands in the address: "e3" a step, "n2" a connection.
export interface Selection {
  kind: "edge" | "node";
  id: number;
}

export function selectionOf(text: string, edges: number, nodes: number): Selection | null {
  const parts = /^([en])(\d+)$/.exec(text);
  if (!parts) return null;
  const kind = parts[1] === "e" ? "edge" : "node";
  const id = Number(parts[2]);
  return id < (kind === "edge" ? edges : nodes) ? { kind, id } : null;
}

export const selectionText = ({ kind, id }: Selection): string => `${kind === "edge" ? "e" : "n"}${id}`;
