// A page on AG-UI's client: `?api=URL&agent=NAME&thread=ID`. It keeps nothing: the server gives it its thread.
import { HttpAgent } from "@ag-ui/client";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const asked = new URLSearchParams(location.search);
const [api, name, threadId] = ["api", "agent", "thread"].map((key) => asked.get(key));
const agent = new HttpAgent({ url: `${api}/${name}`, threadId });

function Message({ message }) {
  if (message.role === "reasoning") return <em>{message.content}</em>;
  if (message.role === "tool") return <code className="result">{message.content}</code>;
  const text = message.metadata?.agentq?.discarded ? <s>{message.content}</s> : message.content;
  return (
    <section className={message.role}>
      {text && <p className="text">{text}</p>}
      {message.toolCalls?.map((call) => <code key={call.id}>{`${call.function.name} ${call.function.arguments}`}</code>)}
    </section>
  );
}

function Page() {
  const [text, setText] = useState("");
  const [status, setStatus] = useState("ready");
  const [messages, setMessages] = useState([]);
  const [questions, setQuestions] = useState([]);
  const [place, setPlace] = useState(null);

  const run = async (parameters = {}) => {
    let end;
    setStatus("running");
    const events = {
      onMessagesChanged: ({ messages }) => setMessages(structuredClone(messages)),
      onCustomEvent: ({ event }) => event.name === "queue" && setPlace(event.value.position),
      onStepStartedEvent: () => setPlace(null),
      onRunFinishedEvent: ({ outcome }) => (end = outcome),
      onRunErrorEvent: ({ event }) => (end = `error: ${event.message}`),
    };
    await agent.runAgent(parameters, events).catch(() => {});
    setPlace(null);
    setQuestions(agent.pendingInterrupts);
    setStatus(end ?? "cut off");
  };
  useEffect(() => void run(), []);
  const send = (event) => {
    event.preventDefault();
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content: text });
    setMessages(structuredClone(agent.messages));
    setText("");
    run();
  };
  const accept = () =>
    run({ resume: questions.map(({ id }) => ({ interruptId: id, status: "resolved", payload: [{ type: "accept" }] })) });
  const stop = () => fetch(`${api}/${name}/${threadId}/stop`, { method: "POST" });
  return (
    <main>
      <h1>{name}</h1>
      {messages.map((message) => <Message key={message.id} message={message} />)}
      {questions.map(({ id, metadata }) => (
        <div className="question" key={id}>
          <code>{JSON.stringify(metadata.value)}</code>
          <button onClick={accept}>Accept</button>
        </div>
      ))}
      <footer>
        <span id="status">{status}</span>
        {place !== null && <span id="place">place {place}</span>}
        <form onSubmit={send}>
          <input value={text} onChange={(event) => setText(event.target.value)} placeholder="Say something" />
          <button>Send</button>
        </form>
        <button onClick={stop}>Stop</button>
        <button onClick={() => run()}>Go on</button>
      </footer>
    </main>
  );
}

createRoot(document.getElementById("page")).render(<Page />);
