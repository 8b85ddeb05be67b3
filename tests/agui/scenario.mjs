// A page of AG-UI without a browser: `node scenario.mjs PACKAGE URL` prints what it saw as one line of JSON.
const [, , name, url] = process.argv;
const { HttpAgent } = await import(name);
const saw = {};
console.error = () => {}; // the client writes there what it also throws

const of = (agent, options = {}) => new HttpAgent({ url: `${url}/agui/${agent}`, ...options });
const says = (agent, content) => agent.addMessage({ id: crypto.randomUUID(), role: "user", content });
const shown = (agent) =>
  agent.messages.map(({ role, content, toolCalls, metadata }) => {
    const calls = (toolCalls ?? []).map((call) => `${call.function.name} ${call.function.arguments}`);
    const text = typeof content === "string" ? content : (content ?? []).map((part) => part.type).join();
    return [role, metadata?.agentq?.discarded ? `~${text}~` : text, ...calls];
  });
// Runs the agent, whose client checks the order of events, and gives the types of them.
const run = async (agent, parameters = {}, until = () => false) => {
  const events = [];
  const onEvent = ({ event }) => {
    events.push(event);
    if (until(event)) agent.abortRun();
  };
  let error;
  try {
    await agent.runAgent(parameters, { onEvent });
  } catch (thrown) {
    error = thrown;
  }
  const kinds = events.filter((event) => event.name !== "queue").map((event) => event.type);
  const types = kinds.filter((type, at, all) => type !== all[at - 1]);
  const { outcome, code } = events.at(-1) ?? {};
  return { types, events, error, outcome: outcome?.type ?? code };
};
const post = (path) => fetch(`${url}${path}`, { method: "POST" });

// A text, then the next turn, which sends all messages again.
let agent = of("steps");
says(agent, "Hello");
let ran = await run(agent);
saw.types = ran.types;
saw.result = ran.events.at(-1).result;
says(agent, "Again");
saw.outcome = (await run(agent)).outcome;
saw.text = shown(agent);

// A page that comes back with nothing but the thread's id.
let back = of("steps", { threadId: agent.threadId });
saw.reloaded = (await run(back)).types;
saw.same = JSON.stringify(shown(back)) === JSON.stringify(saw.text);
saw.nothing = [(await run(of("steps"))).types];

agent = of("tools");
says(agent, "Where?");
saw.tool_types = (await run(agent)).types;
saw.tools = shown(agent);
agent = of("thinks");
says(agent, "Where?");
saw.reasoning_types = (await run(agent)).types;
saw.reasoning = shown(agent);

// Questions: one that is answered, and one that is not.
agent = of("approving");
says(agent, "Do");
ran = await run(agent);
const [asked] = ran.events.at(-1).outcome.interrupts;
saw.question = [ran.outcome, asked.reason, asked.message, asked.metadata, typeof asked.expiresAt];
saw.asked = shown(agent);
back = of("approving", { threadId: agent.threadId });
saw.open = [(await run(back)).outcome, shown(back), back.pendingInterrupts.map(({ id }) => id === asked.id)];
const resume = [{ interruptId: asked.id, status: "resolved", payload: "yes" }];
saw.answered = [(await run(agent, { resume })).outcome, shown(agent)];
agent = of("approving");
says(agent, "Do");
const { interrupts } = (await run(agent)).events.at(-1).outcome;
const refused = [{ interruptId: interrupts[0].id, status: "cancelled" }];
saw.refused = (await run(agent, { resume: refused })).outcome;

// A connection that breaks, the same run again, and a stop.
agent = of("writes");
says(agent, "Write");
const runId = crypto.randomUUID();
await run(agent, { runId }, (event) => event.delta === "word1");
saw.cut = shown(agent).length;
let stopped;
ran = await run(agent, { runId }, (event) => {
  if (event.delta === "word3") stopped ??= post(`/agui/writes/${agent.threadId}/stop`);
});
saw.stopped = [(await stopped).status, ran.outcome, ran.types.slice(0, 2), shown(agent).slice(0, 4)];
saw.custom = ran.events.some((event) => event.name === "custom" && "written" in event.value);

agent = of("failing");
says(agent, "x");
ran = await run(agent);
saw.failed = [ran.types.at(-1), ran.events.at(-1).message, ran.events.at(-1).code];
agent = of("nobody");
says(agent, "x");
ran = await run(agent);
saw.unknown = [ran.error.status, ran.error.payload.code];
agent = of("flaky");
says(agent, "x");
saw.retried = [(await run(agent)).events.filter((event) => event.name === "retry").length, shown(agent)];

// The state of an agent, which the page shares.
agent = of("lists");
says(agent, "x");
await run(agent);
says(agent, "y");
await run(agent);
saw.state = agent.state;

// A place in the queue, and a file.
await post("/queue/pause");
agent = of("steps");
const source = { type: "data", mimeType: "image/png", value: "iVBORw0KGgo=" };
says(agent, [{ type: "image", source, metadata: { filename: "a.png" } }, { type: "text", text: "Look" }]);
let resumed;
ran = await run(agent, { forwardedProps: { priority: "high" } }, (event) => {
  if (event.name === "queue") resumed ??= post("/queue/resume");
});
await resumed;
saw.place = ran.events.find((event) => event.name === "queue").value.position;
saw.file = shown(agent);
saw.thread = [agent.threadId, agent.messages[0].id];
console.log(JSON.stringify(saw));
