import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/bundle.ts"],
    testTimeout: 180_000,
    maxWorkers: 2,
    // Tests of real processes mostly wait, so those of one file run side by side.
    maxConcurrency: 3
  }
})
