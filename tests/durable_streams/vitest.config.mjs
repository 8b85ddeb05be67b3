import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["conformance.test.mjs"], testTimeout: 30_000, sequence: { concurrent: true }, maxConcurrency: 4 },
});
