// The views and their paths.

export type View = "search" | "who" | "trace" | "map" | "ledger";

export const viewPaths: Record<View, string> = { search: "/", who: "/who", trace: "/trace", map: "/map", ledger: "/ledger" };

export function viewOf(path: string): View {
  const found = (Object.keys(viewPaths) as View[]).find((view) => viewPaths[view] === path);
  return found ?? "search";
}
