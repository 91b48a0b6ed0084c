// Screens that a person gave a name. Each is an address of this page; they stay in this browser.

export interface SavedView {
  name: string;
  href: string; // path and query
}

const kKey = "portbook.views";
const kMax = 100;
const kNameMax = 60;

export function savedViews(storage: Storage): SavedView[] {
  try {
    const stored = JSON.parse(storage.getItem(kKey) ?? "[]") as SavedView[];
    return stored.filter((view) => typeof view?.name === "string" && typeof view.href === "string" && /^\/(?!\/)/.test(view.href)).slice(0, kMax);
  } catch {
    return [];
  }
}

// The newest first; the same name takes the place of the old one.
export function saveView(storage: Storage, name: string, href: string): SavedView[] {
  const named = name.trim().slice(0, kNameMax);
  if (named === "") return savedViews(storage);
  const views = [{ name: named, href }, ...savedViews(storage).filter((view) => view.name !== named)].slice(0, kMax);
  storage.setItem(kKey, JSON.stringify(views));
  return views;
}

export function forgetView(storage: Storage, name: string): SavedView[] {
  const views = savedViews(storage).filter((view) => view.name !== name);
  storage.setItem(kKey, JSON.stringify(views));
  return views;
}
