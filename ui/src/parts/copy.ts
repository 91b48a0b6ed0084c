// A click on anything with data-copy copies it whole, and the word "copied" stands in its place for a moment; shift-click on
// anything with data-term filters for it. One listener for the page, so that rows need none of their own.
import { place } from "../state/location.svelte";

const kShownMs = 900;

export async function copyText(text: string, element?: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // no clipboard permission, or no secure context
  }
  if (!element) return;
  element.dataset.copied = "";
  setTimeout(() => delete element.dataset.copied, kShownMs);
}

function copyBySelection(text: string): void {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "offscreen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function installCopy(toggleTerm: (term: string) => void): void {
  const coarse = matchMedia("(pointer: coarse)");
  document.addEventListener(
    "click",
    (event) => {
      if (event.button !== 0 || event.detail > 1) return; // a double click selects as usual
      const element = (event.target as Element).closest<HTMLElement>("[data-copy]");
      if (!element || (coarse.matches && element.closest(".row"))) return;
      event.stopPropagation();
      event.preventDefault();
      if (event.shiftKey && element.dataset.term && place.view === "search") toggleTerm(element.dataset.term);
      else void copyText(element.dataset.copy!, element);
    },
    true,
  );
}

export function saveFile(name: string, content: string | Uint8Array, type = "application/json"): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content as BlobPart], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
