/** Measures what a page loads: everything of the package but the webhooks, which pages do not receive. */

import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const MOST_BYTES = 10_000;
const names = "AgentQ, MessageStream, isReplayed, isTerminal, replyOf";
const contents = `export { ${names} } from "./dist/index.js"; export * from "./dist/errors.js";`;

const { outputFiles } = await build({
  stdin: { contents, resolveDir: "." },
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  write: false,
});
const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
console.log(`${bytes} bytes of at most ${MOST_BYTES}, gzipped`);
if (bytes > MOST_BYTES) process.exitCode = 1;
