// The last queries that this browser asked, newest first.
const kKey = "portbook.recent";
const kMax = 8;

export function recentQueries(): string[] {
  try {
    const stored = JSON.parse(localStorage.getItem(kKey) ?? "[]") as unknown[];
    return stored.filter((item): item is string => typeof item === "string").slice(0, kMax);
  } catch {
    return [];
  }
}

export function rememberQuery(query: string): void {
  if (query === "") return;
  localStorage.setItem(kKey, JSON.stringify([query, ...recentQueries().filter((old) => old !== query)].slice(0, kMax)));
}
