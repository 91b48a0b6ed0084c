// Addresses of the HTTP API; a parameter without a value is left out.
export function address(path: string, query: Record<string, string | number | null | undefined> = {}): string {
  const parts = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = parts.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&");
  return `/api/v1${path}${text === "" ? "" : `?${text}`}`;
}
