// A chat page without a browser: `node scenario.mjs PACKAGE URL` prints what it saw as one line of JSON.
const [, , name, url] = process.argv;
const sdk = await import(name);
const { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } = sdk;
const saw = {};

class State {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => (this.messages = this.messages.concat(message));
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with(index, structuredClone(message)));
  snapshot = (value) => structuredClone(value);
}
class Chat extends AbstractChat {
  constructor({ agent, body, fetch: given, ...options }) {
    const transport = new DefaultChatTransport({ api: `${url}/api/chat`, body: { agent, ...body }, fetch: given });
    super({ transport, state: new State(), ...options });
  }
}

const shown = (chat) =>
  chat.messages.map(({ role, parts }) => {
    const texts = parts.filter((part) => part.type !== "step-start").map((part) => {
      if (part.type === "text" || part.type === "reasoning") {
        const mark = part.providerMetadata?.agentq?.discarded ? "~" : "";
        return part.type === "text" ? `${mark}${part.text}` : `(${part.text})`;
      }
      if (part.type.startsWith("data-")) return `${part.type} ${part.data.attempt}`;
      return `${part.toolName ?? part.type} ${part.state} ${JSON.stringify(part.output)}`;
    });
    return [role, ...texts];
  });
const until = async (condition) => {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`too late: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
const post = (path) => fetch(`${url}${path}`, { method: "POST" });

// A text, then the next turn, which is told nothing of the first one but remembers it.
let chat = new Chat({ agent: "steps" });
await chat.sendMessage({ text: "Hello" });
await chat.sendMessage({ text: "Again" });
saw.text = shown(chat);
const before = chat.lastMessage.id;
await chat.regenerate();
saw.regenerated = [shown(chat).at(-1), chat.lastMessage.id !== before, chat.messages.length];
await chat.sendMessage({ text: "Edited", messageId: chat.messages[0].id });
saw.edited = shown(chat);
saw.status = chat.status;

chat = new Chat({ agent: "tools" });
await chat.sendMessage({ text: "Where?" });
saw.tools = shown(chat);
chat = new Chat({ agent: "thinks" });
await chat.sendMessage({ text: "Where?" });
saw.reasoning = shown(chat).at(-1);

// A question, answered twice over: by hand, and sent by itself.
let posts = 0;
const counted = (...given) => (posts++, fetch(...given));
const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithToolCalls;
chat = new Chat({ agent: "approving", sendAutomaticallyWhen, fetch: counted });
await chat.sendMessage({ text: "Do" });
const asked = chat.lastMessage.parts.at(-1);
saw.question = [asked.type, asked.input];
const again = new Chat({ id: chat.id, agent: "approving" });
await again.resumeStream();
saw.open = [shown(again), again.lastMessage.id === chat.lastMessage.id];
const answering = chat.addToolOutput ?? chat.addToolResult;
await answering({ tool: "ask_human", toolCallId: asked.toolCallId, output: "yes" });
await until(() => posts === 2 && chat.status === "ready");
saw.answered = shown(chat);
saw.posts = posts;

// A connection that breaks, a page that comes back, and a stop.
const cut = new AbortController();
const cutting = (address, options) => fetch(address, { ...options, signal: cut.signal });
chat = new Chat({ agent: "writes", fetch: cutting });
const sending = chat.sendMessage({ text: "Write" });
await until(() => JSON.stringify(chat.messages).includes("word1"));
cut.abort();
await sending;
const custom = [];
const back = new Chat({ id: chat.id, agent: "writes", onData: (part) => custom.push(part.data) });
const resuming = back.resumeStream();
await until(() => JSON.stringify(back.messages).includes("word3"));
saw.same = back.lastMessage.id === chat.lastMessage.id;
saw.stop = (await post(`/api/chat/${back.id}/stop`)).status;
await resuming;
saw.stopped = [shown(back)[0].slice(0, 4), back.status, custom.slice(0, 2)];
await back.resumeStream();
saw.nothing = back.status;

chat = new Chat({ agent: "failing" });
await chat.sendMessage({ text: "x" });
saw.failed = [chat.status, chat.error.message.includes("this graph cannot")];
chat = new Chat({ agent: "nobody" });
await chat.sendMessage({ text: "x" });
saw.refused = [chat.status, chat.error.message.startsWith("There is no agent")];
chat = new Chat({ agent: "flaky" });
await chat.sendMessage({ text: "x" });
saw.retried = shown(chat).at(-1);

// A place in the queue, and a file.
await post("/queue/pause");
const places = [];
const onData = (part) => places.push([part.type, part.data.position]);
chat = new Chat({ agent: "steps", body: { priority: "high" }, onData });
const url_of_file = "data:image/png;base64,iVBORw0KGgo=";
const files = [{ type: "file", mediaType: "image/png", filename: "a.png", url: url_of_file }];
const waiting = chat.sendMessage({ text: "Look", files });
await until(() => places.length);
await post("/queue/resume");
await waiting;
saw.places = places.slice(0, 1);
saw.file = shown(chat).at(-1);
saw.chat = [chat.id, chat.messages[0].id];
console.log(JSON.stringify(saw));
