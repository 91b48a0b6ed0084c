// Where the reader is: the view and everything that is set on it stand in the address, so that a copied address is the same screen.

import { type View, viewOf, viewPaths } from "./paths";

class Place {
  view = $state<View>("search");
  params = $state.raw(new URLSearchParams());
  hash = $state("");

  constructor() {
    this.read();
    addEventListener("popstate", () => this.read());
  }

  get(name: string): string {
    return this.params.get(name) ?? "";
  }

  // The address of a view with the given parameters; empty ones are left out.
  href(view: View, params: Record<string, string | number | null> = {}): string {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) if (value !== null && value !== "") search.set(name, String(value));
    const text = search.toString();
    return viewPaths[view] + (text === "" ? "" : `?${text}`);
  }

  // The address of this screen with some parameters changed; null takes one away.
  with(changes: Record<string, string | number | null>): string {
    return this.href(this.view, { ...Object.fromEntries(this.params), ...changes });
  }

  go(href: string, how: "push" | "replace" = "push"): void {
    const now = location.pathname + location.search + location.hash;
    if (href !== now) history[how === "push" ? "pushState" : "replaceState"](null, "", href);
    this.read();
  }

  set(changes: Record<string, string | number | null>, how: "push" | "replace" = "push"): void {
    this.go(this.with(changes), how);
  }

  private read(): void {
    this.view = viewOf(location.pathname);
    this.hash = location.hash;
    const params = new URLSearchParams(location.search);
    if (params.toString() !== this.params.toString()) this.params = params;
  }
}

export const place = new Place();

// Follows links of this page without loading it anew; anything else is the browser's.
export function followLink(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest?.("a");
  if (!link || link.target !== "" || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (!Object.values(viewPaths).includes(link.pathname)) return;
  event.preventDefault();
  place.go(link.pathname + link.search + link.hash);
}
