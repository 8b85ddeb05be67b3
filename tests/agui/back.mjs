// A page that comes back: `node back.mjs URL AGENT THREAD` prints what it has at the end of the run as one line of JSON.
import { HttpAgent } from "ag-ui-1";

const [, , url, name, threadId] = process.argv;
const agent = new HttpAgent({ url: `${url}/agui/${name}`, threadId });
const saw = {};
const onRunFinishedEvent = ({ event }) => (saw.outcome = event.outcome.type);
await agent.runAgent({}, { onRunFinishedEvent });
saw.asked = agent.pendingInterrupts.length;
saw.messages = agent.messages.map(({ role, content }) => [role, content]);
console.log(JSON.stringify(saw));
