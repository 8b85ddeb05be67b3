// A chat page's work with LangGraph's agent protocol, as @langchain/react does it: `node protocol.mjs URL` prints what
// it saw as one line of JSON.
import { Client } from "langgraph-sdk-1";
import { StreamController } from "langgraph-sdk-1/stream";

const [, , url] = process.argv;
const client = new Client({ apiUrl: url, apiKey: null });
const pages = [];
const saw = {};

const open = async (assistantId, threadId) => {
  const page = new StreamController({ client, assistantId, threadId });
  pages.push(page);
  await page.hydrate(threadId);
  return page;
};
const seen = (page) => page.rootStore.getSnapshot();
const until = (page, condition) =>
  new Promise((resolve) => {
    const look = () => {
      if (!condition(seen(page))) return;
      leave();
      resolve(seen(page));
    };
    const leave = page.rootStore.subscribe(look);
    look();
  });
const said = (text) => ({ messages: [{ type: "human", content: text }] });
const texts = ({ messages }) => messages.map((message) => message.text);

const thread = crypto.randomUUID();
const chat = await open("approving", thread);
const submitted = chat.submit(said("Do"));
const asked = await until(chat, (state) => state.interrupts.length > 0);
await submitted;
saw.question = asked.interrupts.map((interrupt) => interrupt.value);
saw.before = texts(await until(chat, (state) => state.messages.length === 2));
await chat.respond("yes");
saw.after = texts(await until(chat, (state) => !state.isLoading && state.messages.length === 4));
saw.reloaded = texts(seen(await open("approving", thread)));
await chat.submit(said("Again"));
const again = await until(chat, (state) => state.interrupts.length > 0 && state.messages.length === 6);
saw.again = texts(again).slice(4);

const tools = await open("tools", crypto.randomUUID());
await tools.submit(said("Add"));
const called = await until(tools, (state) => !state.isLoading && state.messages.length === 4);
saw.tools = called.toolCalls.map(({ name, input, output, status }) => [name, input, output, status]);
saw.answer = called.messages.at(-1).text;

const failing = await open("failing", crypto.randomUUID());
await failing.submit(said("x"));
saw.failure = String((await until(failing, (state) => state.error)).error.message);

await Promise.all(pages.map((page) => page.dispose()));
console.log(JSON.stringify(saw));
process.exit(0);
