import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// `PORTBOOK_SERVER=http://127.0.0.1:7171 npm run dev` serves the page from source with a running book behind it.
const server = process.env.PORTBOOK_SERVER ?? "http://127.0.0.1:7171";

// src/first.ts becomes a script of its own that waits for nothing, neither for the rest of the page nor for its styles.
const first: Plugin = {
  name: "first-question",
  transformIndexHtml: {
    order: "post",
    handler(html, { bundle }) {
      const made = Object.values(bundle ?? {}).find((file) => file.type === "chunk" && file.name === "first");
      if (!made) return html;
      return { html, tags: [{ tag: "script", attrs: { type: "module", async: true, src: `/${made.fileName}` }, injectTo: "head-prepend" }] };
    },
  },
};

export default defineConfig({
  plugins: [svelte(), first],
  build: {
    target: "es2022",
    cssTarget: "chrome123", // light-dark() stays as written
    assetsInlineLimit: 0, // the page's content policy allows no data: addresses
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    rollupOptions: { input: { index: "index.html", first: "src/first.ts" } },
  },
  server: { proxy: { "/api": { target: server, changeOrigin: true } } },
  test: { include: ["src/**/*.test.ts"], setupFiles: ["tests/setup.ts"], testTimeout: 20_000 },
});
