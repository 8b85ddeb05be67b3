// Follows a run to its end: `node follow.mjs URL AGENT THREAD TEXT` prints what it has then as one line of JSON.
// Each time the connection breaks, it sends the same run again with the messages that it has.
import { HttpAgent } from "ag-ui-1";

const [, , url, name, threadId, content] = process.argv;
console.error = () => {}; // the client writes there what it also throws
process.on("unhandledRejection", () => {}); // the client also lets go of a broken body that it cannot cancel
const agent = new HttpAgent({ url: `${url}/agui/${name}`, threadId });
agent.addMessage({ id: "u1", role: "user", content });
const saw = { breaks: 0, shrank: [], doubles: [], last: [] };
const runId = "r1";
let before = {};
let ended = false;

const onMessagesChanged = ({ messages }) => {
  const now = Object.fromEntries(messages.map(({ id, content: text }) => [id, text ?? ""]));
  if (Object.keys(now).length !== messages.length) saw.doubles.push(messages.map(({ id }) => id));
  for (const [id, text] of Object.entries(before)) if (!now[id]?.startsWith(text)) saw.shrank.push(id);
  before = now;
};
while (!ended) {
  try {
    const onEvent = ({ event }) => {
      if (event.type === "RUN_FINISHED") {
        ended = true;
        saw.last.push(event.outcome.type);
      }
    };
    await agent.runAgent({ runId }, { onEvent, onMessagesChanged });
    if (!ended) saw.breaks += 1; // the body ended early
  } catch {
    saw.breaks += 1;
  }
}
saw.messages = agent.messages;
saw.state = agent.state;
console.log(JSON.stringify(saw));
