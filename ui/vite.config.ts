import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// `PORTBOOK_SERVER=http://127.0.0.1:7171 npm run dev` serves the page from source with a running book behind it.
const server = process.env.PORTBOOK_SERVER ?? "http://127.0.0.1:7171";

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "es2022",
    cssTarget: "chrome123", // light-dark() stays as written
    assetsInlineLimit: 0, // the page's content policy allows no data: addresses
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": { target: server, changeOrigin: true } } },
  test: { include: ["src/**/*.test.ts"], setupFiles: ["tests/setup.ts"], testTimeout: 20_000 },
});
