// Light, dark or the system's; a choice is remembered in this browser.

export type Theme = "system" | "light" | "dark";

const kKey = "portbook.theme";
const order: Theme[] = ["system", "light", "dark"];

class ThemeChoice {
  choice = $state<Theme>("system");
  // Counts every change of what is shown, also the system's own: a canvas redraws on it.
  changes = $state(0);

  constructor() {
    const stored = localStorage.getItem(kKey) as Theme | null;
    if (stored && order.includes(stored)) this.choice = stored;
    this.apply();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => ++this.changes);
  }

  next(): void {
    this.choice = order[(order.indexOf(this.choice) + 1) % order.length]!;
    if (this.choice === "system") localStorage.removeItem(kKey);
    else localStorage.setItem(kKey, this.choice);
    this.apply();
  }

  private apply(): void {
    if (this.choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.choice;
    ++this.changes;
  }
}

export const theme = new ThemeChoice();
