// Reads a prepared stream with the TypeScript client and prints the seconds, as JSON.
// Arguments: the folder of the built client, the address of a server that sends the stream to everybody, and its number
// of events.

const [folder, url, expected] = process.argv.slice(2);
const { Following } = await import(`${folder}/core/following.js`);
const { AgentQ } = await import(`${folder}/index.js`);

const PIECE_BYTES = 64 * 1024;

async function readByCore() {
  const body = new Uint8Array(await (await fetch(`${url}/messages/m/stream`)).arrayBuffer());
  const state = new Following("m");
  state.opened(200, new Headers({ "content-type": "text/event-stream" }));
  const began = performance.now();
  let events = 0;
  for (let at = 0; at < body.length; at += PIECE_BYTES) {
    for (const event of state.receive(body.subarray(at, at + PIECE_BYTES))) events += Number(state.accept(event));
  }
  return { events, seconds: (performance.now() - began) / 1000 };
}

async function readByClient() {
  const began = performance.now();
  let events = 0;
  for await (const event of new AgentQ(url).follow("m")) events += Number(event.id > 0);
  return { events, seconds: (performance.now() - began) / 1000 };
}

const found = { core: await readByCore(), AgentQ: await readByClient() };
for (const [name, { events }] of Object.entries(found)) {
  if (events !== Number(expected)) throw new Error(`${name} read ${events} of ${expected} events`);
}
console.log(JSON.stringify(Object.fromEntries(Object.entries(found).map(([name, { seconds }]) => [name, seconds]))));
