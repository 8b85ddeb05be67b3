// A client's whole day: `node scenario.mjs URL` prints what it saw as one line of JSON.
import OpenAI from "openai";

const [, , baseURL] = process.argv;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const saw = {};
const messages = [{ role: "user", content: "Hello" }];
const all = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
};

saw.models = (await all(client.models.list())).map((model) => model.id);
saw.chat = (await client.chat.completions.create({ model: "steps", messages })).choices[0].message.content;
const chunks = await all(await client.chat.completions.create({ model: "steps", messages, stream: true }));
saw.chunks = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");

const stream = client.responses.stream({ model: "steps", input: "Hello" });
const events = await all(stream);
const final = await stream.finalResponse();
saw.text = final.output_text;
saw.numbers = events.every((event, number) => event.sequence_number === number);
const again = await all(await client.responses.retrieve(final.id, { stream: true, starting_after: 3 }));
saw.again = again.length === events.length - 4 && again.every((event, at) => event.type === events[at + 4].type);
const follows = { model: "steps", input: "Again", previous_response_id: final.id };
saw.follows = (await client.responses.create(follows)).previous_response_id === final.id;

const background = await client.responses.create({ model: "steps", input: "Hello", background: true });
saw.background = background.status;
saw.ended = (await all(await client.responses.retrieve(background.id, { stream: true }))).at(-1).response.status;
saw.cancelled = (await client.responses.cancel(background.id)).status;

const asked = await client.responses.create({ model: "approving", input: "Do" });
const call = asked.output.at(-1);
saw.question = [call.name, JSON.parse(call.arguments)];
const input = [{ type: "function_call_output", call_id: call.call_id, output: "yes" }];
const answer = client.responses.stream({ model: "approving", input, previous_response_id: asked.id });
saw.answered = (await answer.finalResponse()).output_text;

saw.failed = (await client.responses.create({ model: "failing", input: "x" })).status;
saw.refused = await client.chat.completions.create({ model: "failing", messages }).catch((error) => error.status);
saw.missing = await client.responses.retrieve("resp_x").catch((error) => [error.status, error.code]);
saw.unknown = await client.chat.completions.create({ model: "x", messages }).catch((error) => error.code);

const queue = (verb) => fetch(new URL(`/queue/${verb}`, baseURL), { method: "POST" });
await queue("pause");
const talk = await client.conversations.create({});
const cut = await client.responses.create({ model: "steps", input: "x", conversation: talk.id, stream: true });
saw.deleted = await all(
  (async function* () {
    for await (const event of cut) {
      if (event.type === "response.queued") await client.conversations.delete(talk.id);
      yield event;
    }
  })(),
).catch((error) => error.code);
await queue("resume");
console.log(JSON.stringify(saw));
