/** Asks before a thread is deleted, and deletes it. */

import { client } from "../../client.js";
import { Confirmation } from "../../components/dialog.js";
import { plural } from "../../format.js";
import { listed } from "../../hiding.js";
import { html } from "../../html.js";
import { attempt } from "../../notes.js";

/** @param {{ thread: import("agentq-client").ThreadSummary | import("agentq-client").Thread, onDone: () => void, onClose: () => void }} props */
export function Deletion({ thread, onDone, onClose }) {
  const { thread_id: id, name, message_count: count } = thread;
  const remove = async () => {
    const isDone = await attempt(() => client.threads.delete(id).then(() => "The thread was deleted."));
    if (isDone) onDone();
  };
  return html`<${Confirmation} title="Delete this thread?" word="Delete it" onConfirm=${() => void remove()} onClose=${onClose}>
    <p class="words">${listed(name ?? "", id)}</p>
    <p>Its ${plural(count, "message")} and what the agent remembers of them are deleted for good.</p>
  </${Confirmation}>`;
}
