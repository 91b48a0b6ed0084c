// Times of the API: RFC 3339 UTC with nine digits. Kept as text and as milliseconds; nanoseconds only for comparison and writing.

export function ms(time: string): number {
  return Date.parse(`${time.replace("Z", "").slice(0, 23)}Z`);
}

export function ns(time: string): bigint {
  const [whole, fraction = ""] = time.replace("Z", "").split(".");
  return BigInt(Date.parse(`${whole}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, "0").slice(0, 9));
}

// RFC 3339 with three digits.
export function rfc3339(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

export const date = (time: string) => time.slice(0, 10); // 2026-11-22
export const clock = (time: string) => time.slice(11, 19); // 12:03:01
export const clockMs = (time: string) => time.slice(11, 23); // 12:03:01.990
export const fraction = (time: string) => time.slice(20, 29); // 990412877

// The nine digits, split where they fall below the clock's error: known digits, then those that are not.
export function digits(time: string, clockErrorNs: number | null): [string, string] {
  const all = fraction(time);
  const known = clockErrorNs === null ? 0 : clockErrorNs <= 0 ? 9 : Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(clockErrorNs))));
  const keep = Math.max(3, known); // milliseconds always stand in full: rows show them
  return [all.slice(0, keep), all.slice(keep)];
}

// "today 16:42", "yesterday 16:42" or "2026-11-18 16:42", UTC.
export function day(time: string, now: number): string {
  const today = Math.floor(now / 86_400_000);
  const then = Math.floor(ms(time) / 86_400_000);
  const name = then === today ? "today" : then === today - 1 ? "yesterday" : date(time);
  return `${name} ${time.slice(11, 16)}`;
}

// "12:03:01.992 – 12:05:02.871", with the date of the second only where it differs.
export function interval(from: string | null, to: string | null): string {
  const end = to === null ? "open" : from !== null && date(from) !== date(to) ? `${date(to)} ${clockMs(to)}` : clockMs(to);
  return `${from === null ? "before" : clockMs(from)} – ${end}`;
}
