/**
 * Many runs at once: `tsx test/live/runs.ts URL NUMBER TEXT`. Each submits `TEXT` with its number in the place of `#n#`,
 * and prints its number and all text that it was given, as a line of JSON. Servers may be killed meanwhile.
 */

import { AgentQ } from "../../src/index.js";

const [url, count, text] = process.argv.slice(2) as [string, string, string];
const client = new AgentQ(url, { maxRetries: 20 });

async function run(number: number): Promise<void> {
  let shown = "";
  for await (const piece of client.stream(text.replaceAll("#n#", String(number))).textStream()) shown += piece;
  console.log(JSON.stringify({ number, shown }));
}

await Promise.all(Array.from({ length: Number(count) }, (_, number) => run(number)));
