// The page of docs/how-to/use-the-ai-sdk.md.
import { createRoot } from "react-dom/client";
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

const transport = new DefaultChatTransport({ api: "http://localhost:8000/api/chat" });

export function Chat({ id }) {
  const { messages, sendMessage } = useChat({ id, transport, resume: true });
  return (
    <form action={(form) => sendMessage({ text: form.get("text") })}>
      {messages.map((message) => <p key={message.id}>{message.parts.map((part) => part.text)}</p>)}
      <input name="text" />
    </form>
  );
}

createRoot(document.getElementById("page")).render(<Chat id="example" />);
