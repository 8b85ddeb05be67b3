/** Actions on the selected messages. */

import { useSignal } from "@preact/signals";

import { client } from "../../client.js";
import { Confirmation } from "../../components/dialog.js";
import { plural } from "../../format.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { useHold } from "../../live.js";
import { UNFINISHED } from "../../message-states.js";
import { attempt } from "../../notes.js";
import { may } from "../../session.js";

/** @typedef {import("agentq-client").Message} Message */

/**
 * @param {{ rows: readonly Message[], chosen: import("@preact/signals").Signal<ReadonlySet<string>>,
 *   onDone: () => void }} props
 */
export function Selection({ rows, chosen, onDone }) {
  const asked = useSignal(/** @type {"cancel" | "retry" | null} */ (null));
  const { selected, unfinished, failed } = parted(rows, chosen.value);
  useHold(selected.length > 0);
  const isAllowed = may("control");
  /** @param {"cancel" | "retry"} action */
  const ask = (action) => {
    const now = parted(rows, chosen.value); // as it is when a key is pressed
    const concerned = action === "cancel" ? now.unfinished : now.failed;
    if (isAllowed && concerned.length > 0) asked.value = action;
  };
  useShortcuts([
    { keys: "c", label: "Cancel the selected messages", run: () => ask("cancel") },
    { keys: "r", label: "Retry the selected messages", run: () => ask("retry") },
  ]);
  if (selected.length === 0) return null;

  const clear = () => (chosen.value = new Set());
  /** @param {readonly Message[]} messages @param {(id: string) => Promise<unknown>} act @param {string} done */
  const each = (messages, act, done) =>
    attempt(async () => {
      const results = await Promise.allSettled(messages.map(({ message_id: id }) => act(id)));
      const refused = results.filter(({ status }) => status === "rejected").length;
      clear();
      onDone();
      return `${plural(messages.length - refused, "message")} ${done}${refused ? `, ${refused} had changed meanwhile` : ""}.`;
    });
  const cancel = () => each(unfinished, (id) => client.cancel(id), "cancelled");
  const retry = () => each(failed, (id) => client.retry(id), "queued again");
  const close = () => (asked.value = null);
  return html`<div class="row card" role="toolbar" aria-label="Selected messages">
    <strong>${selected.length} selected</strong>
    <button disabled=${!isAllowed || unfinished.length === 0} onClick=${() => (asked.value = "cancel")}>Cancel ${unfinished.length}</button>
    <button disabled=${!isAllowed || failed.length === 0} onClick=${() => (asked.value = "retry")}>Retry ${failed.length}</button>
    <button class="plain" onClick=${clear}>Clear the selection</button>
    ${!isAllowed && html`<small>Actions need the scope control.</small>`}
    ${asked.value === "cancel" &&
    html`<${Confirmation} title="Cancel ${plural(unfinished.length, "message")}?" word="Cancel them" onConfirm=${cancel} onClose=${close}>
      Those that run stop at once. What they have written so far stays.
    </${Confirmation}>`}
    ${asked.value === "retry" &&
    html`<${Confirmation} title="Retry ${plural(failed.length, "message")}?" word="Retry them" onConfirm=${retry} onClose=${close}>
      Each goes to the end of its thread, with all attempts left.
    </${Confirmation}>`}
  </div>`;
}

/** Part the chosen messages by what can be done with them. @param {readonly Message[]} rows @param {ReadonlySet<string>} chosen */
function parted(rows, chosen) {
  const selected = rows.filter(({ message_id: id }) => chosen.has(id));
  return {
    selected,
    unfinished: selected.filter(({ state }) => UNFINISHED.has(state)),
    failed: selected.filter(({ state }) => state === "failed"),
  };
}
