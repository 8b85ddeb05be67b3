/** The messages that run now, with a way to stop each. */

import { useSignal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";

import { client } from "../../client.js";
import { Confirmation } from "../../components/dialog.js";
import { now } from "../../components/moment.js";
import { span, UNKNOWN, whole } from "../../format.js";
import { listed } from "../../hiding.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { useHold } from "../../live.js";
import { attempt } from "../../notes.js";
import { linkTo } from "../../router.js";
import { may } from "../../session.js";

/** @typedef {import("agentq-client/operators").QueueState["processing_messages"][number]} RunningMessage */

const MOST = 50;

/** @param {{ messages: readonly RunningMessage[], at: number, onDone: () => void }} props  `at` is when they were read, in milliseconds */
export function Running({ messages, at, onDone }) {
  const rates = useRates(messages, at);
  const asked = useSignal(/** @type {RunningMessage | null} */ (null));
  useHold(asked.value !== null);
  useShortcuts([{ keys: "r", label: "Go to the running messages", run: () => document.getElementById("running")?.focus() }]);
  const cancel = (/** @type {string} */ id) => attempt(async () => (await client.cancel(id), onDone(), "The message is cancelled."));
  const close = () => (asked.value = null);
  const chosen = asked.value; // a confirmation closes before it acts
  return html`<section class="card" aria-label="Running now">
    <h2 id="running" tabindex="-1">Running now</h2>
    ${messages.length === 0
      ? html`<p class="quiet">Nothing runs.</p>`
      : html`<div class="scrolled" tabindex="0" role="group" aria-label="Running messages"><table>
          <thead><tr><th>Message</th><th class="extra">Agent</th><th class="number">For</th><th class="number extra">Pieces</th><th class="number">A second</th><th><span class="only-read">Action</span></th></tr></thead>
          <tbody>${messages.slice(0, MOST).map((each) => html`<${Row} key=${each.id} message=${each} rate=${rates.get(each.id)} onCancel=${() => (asked.value = each)} />`)}</tbody>
        </table></div>
        ${messages.length > MOST && html`<p><a href=${linkTo(["messages"], { state: "processing" })}>Show all ${messages.length}</a></p>`}
        ${!may("control") && html`<small>Only callers with the scope control cancel messages.</small>`}`}
    ${chosen &&
    html`<${Confirmation} title="Cancel this message?" word="Cancel it" onConfirm=${() => cancel(chosen.id)} onClose=${close}>
      <p class="cited">${listed(chosen.user_message, chosen.id)}</p>
      <p>It stops at once. What it has written so far stays.</p>
    </${Confirmation}>`}
  </section>`;
}

/**
 * Return how many pieces each message wrote in a second between the last two reads. The first read of a message has none.
 * @param {readonly RunningMessage[]} messages
 * @param {number} at
 * @returns {ReadonlyMap<string, number>}
 */
function useRates(messages, at) {
  const last = useRef({ at, counts: new Map(messages.map(({ id, events }) => [id, events])) });
  return useMemo(() => {
    const { at: before, counts } = last.current;
    last.current = { at, counts: new Map(messages.map(({ id, events }) => [id, events])) };
    if (at - before < 500) return new Map();
    const known = messages.filter(({ id }) => counts.has(id));
    return new Map(known.map(({ id, events }) => [id, (1000 * (events - (counts.get(id) ?? 0))) / (at - before)]));
  }, [at]);
}

/** @param {{ message: RunningMessage, rate: number | undefined, onCancel: () => void }} props */
function Row({ message, rate, onCancel }) {
  const { id, user_message: text, agent, started_at: began, events, attempt } = message;
  return html`<tr>
    <td class="cited"><a href=${linkTo(["message", id])}>${listed(text, id)}</a></td>
    <td class="extra">${agent}${attempt > 1 && html` <small>attempt ${attempt}</small>`}</td>
    <td class="number">${began && span(Math.max(0, Math.round((now.value - Date.parse(began)) / 1000)))}</td>
    <td class="number extra">${whole(events)}</td>
    <td class="number">${rate === undefined ? UNKNOWN : rate < 10 ? rate.toFixed(1) : whole(rate)}</td>
    <td class="number"><button class="danger" disabled=${!may("control")} aria-label="Cancel ${id}" onClick=${onCancel}>Cancel</button></td>
  </tr>`;
}
