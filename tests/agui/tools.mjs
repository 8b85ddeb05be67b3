// A page with a tool: `node tools.mjs PACKAGE URL AGENT` prints what it has after both runs as one line of JSON.
const [, , name, url, agentName] = process.argv;
const { HttpAgent } = await import(name);

const agent = new HttpAgent({ url: `${url}/agui/${agentName}` });
const colours = [];
const tools = [
  {
    name: "paint",
    description: "Paints the page",
    parameters: { type: "object", properties: { colour: { type: "string" } } },
  },
];
const context = [{ description: "page", value: "home" }];
const saw = { outcomes: [], ignored: [] };
const onRunStartedEvent = ({ event }) => saw.ignored.push(event.metadata?.agentq?.ignored ?? []);
const onRunFinishedEvent = ({ event }) => saw.outcomes.push(event.outcome.type);
const run = () => agent.runAgent({ tools, context }, { onRunStartedEvent, onRunFinishedEvent });

agent.addMessage({ id: "u1", role: "user", content: "Paint it" });
await run();
for (const call of agent.messages.at(-1).toolCalls ?? []) {
  colours.push(JSON.parse(call.function.arguments).colour);
  agent.addMessage({ id: `result ${call.id}`, role: "tool", toolCallId: call.id, content: "painted" });
}
if (colours.length) await run();
saw.colours = colours;
saw.messages = agent.messages.map(({ role, content }) => [role, content ?? ""]);
const back = new HttpAgent({ url: `${url}/agui/${agentName}`, threadId: agent.threadId });
await back.runAgent();
saw.same = JSON.stringify(back.messages.map(({ id }) => id)) === JSON.stringify(agent.messages.map(({ id }) => id));
saw.state = back.state;
saw.thread = agent.threadId;
console.log(JSON.stringify(saw));
