/** Shows the message as a command or a program, to be copied. */

import { useSignal } from "@preact/signals";

import { copy } from "../../components/copy.js";
import { Dialog } from "../../components/dialog.js";
import { html } from "../../html.js";
import { attempt } from "../../notes.js";
import { API_URL, session } from "../../session.js";
import { bodyOf, SAMPLES } from "./samples.js";

/** @param {{ message: import("agentq-client").MessageDetails, onClose: () => void }} props */
export function CopyDialog({ message, onClose }) {
  const chosen = useSignal(0);
  const hasKey = Boolean(session.value.view?.csrf_token);
  const text = SAMPLES[chosen.value]?.make(bodyOf(message), API_URL, hasKey) ?? "";
  return html`<${Dialog} title="Submit this message again" onClose=${onClose}>
    <div class="row" role="group" aria-label="Language">
      ${SAMPLES.map(({ title }, at) => html`<button aria-pressed=${at === chosen.value} onClick=${() => (chosen.value = at)}>${title}</button>`)}
    </div>
    <pre class="scrolls sample" tabindex="0" aria-label="Text to copy">${text}</pre>
    <div class="row"><button class="primary" autofocus onClick=${() => attempt(() => copy(text))}>Copy</button><button onClick=${onClose}>Close</button></div>
  </${Dialog}>`;
}
