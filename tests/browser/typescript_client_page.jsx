import { createRoot } from "react-dom/client";
import { AgentQ } from "agentq-client";
import { useThread } from "agentq-client/react";

const given = new URLSearchParams(location.hash.slice(1));
const client = new AgentQ(given.get("api"), { apiKey: given.get("token") });

function Chat() {
  const { entries, send, error } = useThread(client, given.get("thread"));
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void send(new FormData(event.currentTarget).get("message"));
      }}
    >
      {entries.map(({ messageId, text, state }) => (
        <section key={messageId} data-state={state}>
          {text}
        </section>
      ))}
      {error && <p className="error">{error.message}</p>}
      <input name="message" />
    </form>
  );
}

createRoot(document.getElementById("page")).render(<Chat />);
