// Which columns the table has. Both ports always stand; the rest is chosen, kept in the address and remembered in this browser.
import { fieldByName } from "../proof/record";

export interface Column {
  id: string; // in the address; a field's name for a column of that field
  label: string;
  width: string; // of a grid track
  usual: boolean; // shown unless something else is chosen, as far as there is room
}

// Those with a drawing of their own.
export const kColumns: Column[] = [
  { id: "destination", label: "destination", width: "minmax(92px, 131px)", usual: true },
  { id: "process", label: "process", width: "minmax(60px, 110px)", usual: true },
  { id: "lasted", label: "lasted", width: "68px", usual: true },
  { id: "user", label: "user", width: "minmax(48px, 1fr)", usual: true },
  { id: "arguments", label: "arguments", width: "minmax(60px, 2fr)", usual: true },
  { id: "container", label: "container", width: "minmax(48px, 96px)", usual: true },
  { id: "out", label: "out", width: "70px", usual: true },
  { id: "in", label: "in", width: "70px", usual: true },
];
// Offered besides; any other field can be named.
export const kOffered = ["host", "login_user", "exe", "cwd", "outcome", "rtt", "retransmits", "proto", "netns", "source", "clock_error"];

const kKey = "portbook.columns";
const kMax = 12;
const kFixed = { before: "88px 14px 126px 146px", after: "16px" };

export function columnOf(id: string): Column | null {
  const drawn = kColumns.find((column) => column.id === id);
  if (drawn) return drawn;
  return fieldByName.has(id) ? { id, label: id, width: "minmax(56px, 1fr)", usual: false } : null;
}

// "destination,process,host" → columns; what is not known or said twice is left out. Null: the usual ones.
export function columnsOf(text: string): Column[] | null {
  if (text === "") return null;
  const found = [...new Set(text.split(","))].map(columnOf).filter((column) => column !== null);
  return found.length === 0 ? null : found.slice(0, kMax);
}

export const columnsText = (columns: Column[]): string => columns.map(({ id }) => id).join(",");
export const tracks = (columns: Column[]): string => `${kFixed.before} ${columns.map(({ width }) => width).join(" ")} ${kFixed.after}`;

export function toggledColumn(columns: Column[], id: string): Column[] {
  if (columns.some((column) => column.id === id)) return columns.filter((column) => column.id !== id);
  const added = columnOf(id);
  return added === null || columns.length >= kMax ? columns : [...columns, added];
}

export const rememberedColumns = (storage: Storage): string => (columnsOf(storage.getItem(kKey) ?? "") === null ? "" : storage.getItem(kKey)!);

export function rememberColumns(storage: Storage, text: string): void {
  if (text === "") storage.removeItem(kKey);
  else storage.setItem(kKey, text);
}
