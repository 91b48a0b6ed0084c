import { defineConfig } from "vitest/config";

// The page in a real Chromium against the real program. What only waits runs two files at a time; what measures runs after it, alone.
const measured = ["tests/page/flood.test.ts", "tests/page/live.test.ts", "tests/page/opening.test.ts"];
const common = { testTimeout: 30_000, hookTimeout: 60_000, maxConcurrency: 3 };

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { ...common, name: "screens", include: ["tests/page/*.test.ts"], exclude: measured, sequence: { groupOrder: 0 } } },
      { test: { ...common, name: "measured", include: measured, poolOptions: { forks: { singleFork: true } }, sequence: { groupOrder: 1 } } },
    ],
  },
});
