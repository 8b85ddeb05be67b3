// A client's whole day: `node scenario.mjs PACKAGE URL` prints what it saw as one line of JSON.
const [, , name, url] = process.argv;
const { Client } = await import(name);
const client = new Client({ apiUrl: url, apiKey: null });
const shown = ["values", "messages-tuple"];
const saw = {};

const said = (text) => ({ messages: [{ role: "user", content: text }] });
const all = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
};
const plain = (parts) => JSON.stringify(parts.map(({ event, data }) => [event, data]));

saw.assistants = (await client.assistants.search()).map((assistant) => assistant.graph_id);
const { thread_id: thread } = await client.threads.create({ metadata: { page: "chat" } });
let run;
const input = said("Hello");
const options = { input, streamMode: shown, streamResumable: true, onRunCreated: (created) => (run = created) };
const parts = await all(client.runs.stream(thread, "steps", options));
saw.events = parts.map((part) => part.event);
saw.pieces = parts.filter((part) => part.event === "messages").map((part) => part.data[0].content);
saw.created = run.thread_id === thread && run.run_id === parts[0].data.run_id;
saw.joined = plain(await all(client.runs.joinStream(thread, run.run_id, { streamMode: shown }))) === plain(parts);
const resumed = { lastEventId: parts[1].id, streamMode: shown };
saw.resumed = plain(await all(client.runs.joinStream(thread, run.run_id, resumed))) === plain(parts.slice(2));
saw.waited = (await client.runs.wait(thread, "steps", { input: said("Again") })).messages.length;
saw.state = (await client.threads.getState(thread)).values.messages.length;
saw.history = (await client.threads.getHistory(thread)).map((state) => state.next.length);
saw.found = (await client.threads.search({ metadata: { page: "chat" } })).map((found) => found.status);
saw.count = await client.threads.count({ metadata: { page: "chat" } });

const { thread_id: asked } = await client.threads.create();
const question = await all(client.runs.stream(asked, "approving", { input: said("Do"), streamMode: "values" }));
saw.question = question.at(-1).data.__interrupt__.map((interrupt) => interrupt.value);
saw.interrupted = (await client.threads.get(asked)).status;
const answered = await client.runs.wait(asked, "approving", { command: { resume: "yes" } });
saw.answer = answered.messages.at(-2).content;
saw.runs = (await client.runs.list(asked)).map((each) => each.status);

await client.store.putItem(["notes"], "a", { text: "kept" });
saw.item = (await client.store.getItem(["notes"], "a")).value;
await client.store.deleteItem(["notes"], "a");
saw.failure = await client.runs.wait(null, "failing", { input: said("x") }).catch((error) => error.message);
saw.missing = await client.threads.get("7f3e4b1c-0000-4000-8000-000000000000").catch((error) => error.status);
await client.threads.delete(thread);
saw.left = (await client.threads.search({ metadata: { page: "chat" } })).length;
console.log(JSON.stringify(saw));
