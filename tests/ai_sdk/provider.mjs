// Chats by the provider for OpenAI: `node provider.mjs AI_PACKAGE PROVIDER_PACKAGE URL` prints what it saw as one line of JSON.
const [, , ai, provider, baseURL] = process.argv;
const { jsonSchema, streamText, tool } = await import(ai);
const { createOpenAI } = await import(provider);

const sent = [];
const openai = createOpenAI({
  baseURL,
  apiKey: "none",
  fetch: (url, init) => {
    sent.push(JSON.parse(init.body).input.map((item) => item.type ?? item.role));
    return fetch(url, init);
  },
});
const saw = {};
const ask = async (agent, messages, more = {}) => {
  const answer = streamText({ model: openai.responses(agent), messages, onError: console.error, ...more });
  const text = await answer.text;
  messages.push(...(await answer.response).messages);
  return text;
};
const talk = async (agent, ...turns) => {
  const messages = [];
  const texts = [];
  for (const content of turns) {
    messages.push({ role: "user", content });
    texts.push(await ask(agent, messages));
  }
  return [texts, sent.at(-1)];
};

saw.turns = await talk("steps", "One", "Two", "Three");
saw.tools = await talk("tools", "2+3?", "And one more?");

const inputSchema = jsonSchema({ type: "object", properties: { question: { type: "string" } } });
const tools = { ask_human: tool({ description: "The agent asks.", inputSchema }) };
const messages = [{ role: "user", content: "Do" }];
await ask("approving", messages, { tools });
const call = messages.at(-1).content.at(-1);
saw.question = [call.toolName, call.input];
const output = { type: "text", value: "yes" };
const result = { type: "tool-result", toolCallId: call.toolCallId, toolName: call.toolName, output };
messages.push({ role: "tool", content: [result] });
saw.answered = [await ask("approving", messages, { tools }), sent.at(-1)];
messages.push({ role: "user", content: "More" });
saw.later = [await ask("approving", messages, { tools }), sent.at(-1)];
console.log(JSON.stringify(saw));
