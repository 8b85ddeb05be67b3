/** The state of a worker, and the button that drains it or lets it go on. */

import { useSignal } from "@preact/signals";

import { client } from "../../client.js";
import { Confirmation } from "../../components/dialog.js";
import { html } from "../../html.js";
import { useHold } from "../../live.js";
import { attempt } from "../../notes.js";
import { may } from "../../session.js";

/** @typedef {import("agentq-client/operators").Worker} Worker */

/** @type {Record<NonNullable<Worker["state"]>, [kind: string, about: string]>} */
const STATES = {
  active: ["good", "It takes messages."],
  draining: ["running", "It takes no messages, and its runs are ending."],
  drained: ["warning", "It takes no messages and runs none."],
};

/** @param {{ worker: Worker, onDone: () => void }} props */
export function DrainSwitch({ worker: { id, state = "active" }, onDone }) {
  const isAsked = useSignal(false);
  useHold(isAsked.value);
  const [kind, about] = STATES[state] ?? ["quiet", ""];
  const ask = () => void (isAsked.value = true);
  const drain = () => attempt(async () => (await client.workers.drain(id), onDone(), `The worker ${id} is draining.`));
  const resume = () => attempt(async () => (await client.workers.resume(id), onDone(), `The worker ${id} takes messages again.`));
  return html`<div class="row">
    <span class="badge" data-kind=${kind} title=${about}>${state}</span>
    ${may("admin") &&
    (state === "active"
      ? html`<button aria-label=${`Drain the worker ${id}`} onClick=${ask}>Drain</button>`
      : html`<button aria-label=${`Resume the worker ${id}`} onClick=${resume}>Resume</button>`)}
    ${isAsked.value &&
    html`<${Confirmation} title="Drain the worker?" word="Drain the worker" onConfirm=${drain} onClose=${() => (isAsked.value = false)}>
      <p><code class="cited">${id}</code></p>
      <p>It takes no more messages. Its runs stop after their present step, and other workers go on with them. Its process stays until you
        end it, and it can be resumed.</p>
    </${Confirmation}>`}
  </div>`;
}
