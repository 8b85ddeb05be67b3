/** Pauses and resumes the queue. */

import { useSignal } from "@preact/signals";

import { client } from "../client.js";
import { html } from "../html.js";
import { useShortcuts } from "../keyboard.js";
import { useHold } from "../live.js";
import { attempt } from "../notes.js";
import { may } from "../session.js";
import { Confirmation } from "./dialog.js";

const WHY_OFF = "Only callers with the scope admin pause the queue.";

/** @param {{ isPaused: boolean | undefined, onDone: () => void }} props  `isPaused` is undefined until it is known */
export function QueueSwitch({ isPaused, onDone }) {
  const asked = useSignal(/** @type {"pause" | "resume" | null} */ (null)); // stays, though the queue changes meanwhile
  const isAllowed = may("admin") && isPaused !== undefined;
  useHold(asked.value !== null);
  const ask = () => void (isAllowed && (asked.value = isPaused ? "resume" : "pause"));
  useShortcuts([{ keys: "p", label: "Pause or resume the queue", run: ask }]);
  const pause = () => attempt(async () => (await client.queue.pause(), onDone(), "The queue is paused."));
  const resume = () => attempt(async () => (await client.queue.resume(), onDone(), "The queue goes on."));
  const close = () => (asked.value = null);
  return html`<button disabled=${!isAllowed} title=${may("admin") ? "(P)" : WHY_OFF} onClick=${ask}>${isPaused ? "Resume the queue" : "Pause the queue"}</button>
    ${!may("admin") && html`<small>${WHY_OFF}</small>`}
    ${asked.value === "pause" &&
    html`<${Confirmation} title="Pause the queue?" word="Pause the queue" onConfirm=${pause} onClose=${close}>
      Running messages go on to their end. New ones are accepted and wait, of all tenants.
    </${Confirmation}>`}
    ${asked.value === "resume" &&
    html`<${Confirmation} title="Resume the queue?" word="Resume the queue" onConfirm=${resume} onClose=${close}>
      Messages begin again, the first of the order first.
    </${Confirmation}>`}`;
}

/** Says that the queue is paused. @param {{ isPaused: boolean | undefined }} props */
export function PausedBanner({ isPaused }) {
  if (!isPaused) return null;
  return html`<p class="banner" role="status"><strong>The queue is paused.</strong> Messages are accepted and wait. None begins until it is resumed.</p>`;
}
