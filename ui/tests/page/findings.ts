// What axe finds on a screen.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

// To be evaluated on a page before findings() is asked.
export const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// "screen, theme: rule: element" for everything serious or critical; in the second theme only what colours can change.
export async function findings(page: Page, screen: string, within = "", themes: ("light" | "dark")[] = ["light", "dark"]): Promise<string[]> {
  const out: string[] = [];
  for (const colorScheme of themes) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const found = await page.evaluate(async ([colours, part]) => {
      const run = (globalThis as unknown as { axe: { run: (where: Document | Element, options: object) => Promise<{ violations: { id: string; impact: string; nodes: { target: string[]; failureSummary: string }[] }[] }> } }).axe.run;
      const { violations } = await run((part && document.querySelector(part)) || document, { resultTypes: ["violations"], ...(colours ? { runOnly: ["color-contrast"] } : {}) });
      return violations.filter(({ impact }) => impact === "serious" || impact === "critical").flatMap(({ id, nodes }) => nodes.slice(0, 4).map((node) => `${id}: ${node.target.join(" ")} (${node.failureSummary.split("\n")[1]?.trim()})`));
    }, [colorScheme === "dark", within] as const);
    out.push(...found.map((one) => `${screen}, ${colorScheme}: ${one}`));
  }
  return out;
}
