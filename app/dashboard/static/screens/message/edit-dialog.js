/** Sends a message again with another input, as a new message of the same thread, agent and options. */

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { client } from "../../client.js";
import { Dialog } from "../../components/dialog.js";
import { readJson } from "../../components/schema-form.js";
import { useDraft } from "../../drafts.js";
import { html } from "../../html.js";
import { newId } from "../../new-id.js";
import { tell, wordsOf } from "../../notes.js";
import { go } from "../../router.js";
import { bodyOf } from "./samples.js";

/** The parts of a message that a person can edit; the first one that it has is shown. */
const PARTS = /** @type {const} */ (["message", "input", "command"]);

/** @param {{ message: import("agentq-client").MessageDetails, onClose: () => void }} props */
export function EditDialog({ message, onClose }) {
  const body = bodyOf(message);
  const part = PARTS.find((name) => name in body);
  const given = part ? body[part] : null;
  const isText = typeof given === "string";
  const { draft, forget } = useDraft(`edit:${message.message_id}`, isText ? given : JSON.stringify(given, null, 2));
  const problem = useSignal("");
  const isBusy = useSignal(false);
  const key = useMemo(newId, [draft.value]); // another try of the same text is stored once
  /** @param {Event} event */
  const submitted = async (event) => {
    event.preventDefault();
    isBusy.value = true;
    problem.value = "";
    try {
      const value = isText ? draft.value : readJson(draft.value);
      const { message: text = null, ...fields } = /** @type {any} */ (part ? { ...body, [part]: value } : body);
      const { message_id: id } = await client.submit(text, fields, { idempotencyKey: key });
      forget();
      onClose();
      tell("Sent as a new message.");
      go(["message", id]);
    } catch (error) {
      problem.value = wordsOf(error);
    } finally {
      isBusy.value = false;
    }
  };
  const typed = (/** @type {any} */ event) => (draft.value = event.currentTarget.value);
  return html`<${Dialog} title="Edit and send again" onClose=${onClose}>
    <p class="quiet">This makes a new message for ${message.agent}${message.thread_id ? `, behind the others of thread ${message.thread_id}` : ""}, with the same options.</p>
    <form class="stack" onSubmit=${submitted}>
      ${part
        ? html`<div class="field"><label for="edited">${isText ? "Message" : part === "message" ? "Content blocks as JSON" : `${part === "input" ? "Input" : "Command"} as JSON`}</label>
            <textarea id="edited" rows="8" value=${draft.value} onInput=${typed} autofocus></textarea></div>`
        : html`<p>The message has no input. It goes on where its thread stopped.</p>`}
      <p role="alert" class="fault">${problem}</p>
      <div class="row"><button class="primary" disabled=${isBusy}>Send</button><button type="button" onClick=${onClose}>Close</button>
        ${part && html`<button type="button" class="plain" onClick=${forget}>Undo the edits</button>`}</div>
    </form>
  </${Dialog}>`;
}
