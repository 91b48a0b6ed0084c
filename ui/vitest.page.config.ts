import { defineConfig } from "vitest/config";

// The page in a real Chromium against the real program: one file at a time, one browser at a time.
export default defineConfig({
  test: {
    include: ["tests/page/*.test.ts"],
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A browser on a busy machine misses a key or a wait now and then; what fails three times in a row fails.
    retry: 2,
  },
});
