// What the top bar says about the completeness of what is on screen.
import type { Completeness, Status } from "../api/types";
import type { OnScreen } from "../state/book.svelte";

export function onScreenOf(value: Completeness | null, status: Status | null): OnScreen | null {
  if (!value || !status) return null;
  const title = value.sentence;
  if (value.state === "complete") return { state: "complete", label: "Complete", title };
  if (value.state === "not_covered") return { state: "not_covered", label: "Not covered", title };
  const missing = value.missing ?? [];
  const gaps = missing.filter((gap) => gap.from !== null).length;
  if (value.state === "incomplete" && gaps === 0 && missing.length > 0) return { state: "incomplete", label: "Incomplete", bold: "before capture began", title };
  if (value.state === "incomplete" && gaps > 0) return { state: "incomplete", label: "", bold: gaps === 1 ? "1 gap" : `${gaps} gaps`, title };
  // An unsynchronised clock has its own place in the bar; the capture may be whole all the same.
  if (value.state === "clock_not_synchronised" && value.sentence.startsWith("Complete")) return { state: "complete", label: "Complete", title };
  return { state: "incomplete", label: value.state === "incomplete" ? "Incomplete" : "Clock unsure", title };
}
