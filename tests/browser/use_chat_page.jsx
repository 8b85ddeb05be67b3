// A chat page on the AI SDK's React hook: `?api=URL&agent=NAME&chat=ID`. It keeps its messages in the browser.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from "ai";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const asked = new URLSearchParams(location.search);
const [api, agent, id] = ["api", "agent", "chat"].map((name) => asked.get(name));
const kept = JSON.parse(localStorage.getItem(id) ?? "[]");
const transport = new DefaultChatTransport({
  api,
  body: { agent },
  prepareSendMessagesRequest: ({ id, messages, trigger, messageId, body }) => ({
    body: { ...body, id, trigger, messageId, messages: messages.slice(-1) },
  }),
  prepareReconnectToStreamRequest: ({ id }) => ({ api: `${api}/${encodeURIComponent(id)}/stream?ended=true` }),
});

function Part({ part, answer }) {
  if (part.type === "text") {
    return part.providerMetadata?.agentq?.discarded ? <s>{part.text}</s> : <p className="text">{part.text}</p>;
  }
  if (part.type === "reasoning") return <em>{part.text}</em>;
  if (part.type === "data-retry") return <small>Attempt {part.data.attempt} failed. Trying again.</small>;
  if (part.type === "dynamic-tool") {
    return <code>{`${part.toolName} ${JSON.stringify(part.input)} ${part.output ?? "…"}`}</code>;
  }
  if (part.type !== "tool-ask_human") return null;
  const give = () => answer({ tool: "ask_human", toolCallId: part.toolCallId, output: [{ type: "accept" }] });
  return (
    <div className="question">
      <code>{JSON.stringify(part.input)}</code>
      {part.state === "input-available" ? <button onClick={give}>Accept</button> : <b>answered</b>}
    </div>
  );
}

function Page() {
  const [text, setText] = useState("");
  const [place, setPlace] = useState(null);
  const chat = useChat({
    id,
    messages: kept,
    transport,
    resume: true,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onData: (part) => part.type === "data-queue" && setPlace(part.data.position),
  });
  useEffect(() => localStorage.setItem(id, JSON.stringify(chat.messages)), [chat.messages]);
  const send = (event) => {
    event.preventDefault();
    setPlace(null);
    chat.sendMessage({ text });
    setText("");
  };
  const stop = () => fetch(`${api}/${id}/stop`, { method: "POST" });
  return (
    <main>
      <h1>{agent}</h1>
      {chat.messages.map((message) => (
        <section key={message.id} className={message.role}>
          {message.parts.map((part, at) => (
            <Part key={at} part={part} answer={chat.addToolOutput} />
          ))}
        </section>
      ))}
      {chat.error && <p className="error">{chat.error.message}</p>}
      <footer>
        <span id="status">{chat.status}</span>
        {place !== null && chat.status === "submitted" && <span id="place">place {place}</span>}
        <form onSubmit={send}>
          <input value={text} onChange={(event) => setText(event.target.value)} placeholder="Say something" />
          <button>Send</button>
        </form>
        <button onClick={stop}>Stop</button>
        <button onClick={() => chat.regenerate()}>Again</button>
        <button onClick={() => chat.resumeStream()}>Go on</button>
      </footer>
    </main>
  );
}

createRoot(document.getElementById("page")).render(<Page />);
