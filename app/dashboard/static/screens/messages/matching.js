/** How many messages match the filters, and what can be done with all of them. */

import { useSignal } from "@preact/signals";

import { useReloads } from "../../attention.js";
import { Confirmation } from "../../components/dialog.js";
import { plural, whole } from "../../format.js";
import { html } from "../../html.js";
import { useHold } from "../../live.js";
import { useLoaded } from "../../loading.js";
import { attempt, tell, wordsOf } from "../../notes.js";
import { may } from "../../session.js";
import { carryOut, countOf, matching, MOST_AT_ONCE, statesFor } from "./bulk.js";
import { exportAll } from "./export.js";
import { PRIORITIES } from "./query.js";

/** @typedef {import("./bulk.js").Action} Action */
/** @typedef {import("./bulk.js").Match} Match */

/** @param {{ query: URLSearchParams, onDone: () => Promise<void> }} props */
export function Matching({ query, onDone }) {
  const total = useLoaded((signal) => countOf(query, { signal }), [query.toString()]);
  const asked = useSignal(/** @type {{ action: Action, match: Match } | null} */ (null));
  const priority = useSignal(/** @type {import("./bulk.js").Priority} */ ("high"));
  const isOpen = useSignal(false);
  const isBusy = useSignal(false);
  useReloads(() => void total.reload());
  useHold(asked.value !== null || isBusy.value);
  const isAllowed = may("control");

  /** Ask with the number of messages as it is now. @param {Action} action */
  const ask = async (action) => {
    isBusy.value = true;
    try {
      const match = await matching(action, query);
      if (match.count > 0) asked.value = { action, match };
      else tell("No message that matches is in a state for this now.");
    } catch (error) {
      tell(wordsOf(error), "bad");
    } finally {
      isBusy.value = false;
    }
  };
  /** @param {Action} action @param {Match} match */
  const act = async (action, match) => {
    isBusy.value = true;
    await attempt(() => carryOut(action, match, priority.value));
    isBusy.value = false;
    await Promise.all([onDone(), total.reload()]);
  };
  /** @param {"jsonl" | "csv"} format */
  const save = async (format) => {
    isBusy.value = true;
    await attempt(() => exportAll(query, format));
    isBusy.value = false;
  };
  /** @param {Action} action @param {string} word */
  const button = (action, word) => html`<button
    disabled=${!isAllowed || isBusy.value || statesFor(action, query).length === 0} onClick=${() => ask(action)}>${word}</button>`;
  return html`<div class="row" role="group" aria-label="All that match">
    <strong class="number ${total.isStale ? "stale" : ""}" role="status">${countWords(total.value)}</strong>
    <button hidden=${total.value?.count === 0} aria-expanded=${isOpen.value} onClick=${() => (isOpen.value = !isOpen.value)}>With all that match</button>
    ${isOpen.value && total.value?.count !== 0 && html`
      ${button("cancel", "Cancel all…")} ${button("retry", "Retry all…")}
      <label class="row">Priority <select value=${priority.value} onChange=${(/** @type {any} */ event) => (priority.value = event.currentTarget.value)}>
        ${PRIORITIES.map((each) => html`<option value=${each}>${each}</option>`)}</select></label>
      ${button("priority", "Change the priority of all…")}
      <button disabled=${isBusy.value} onClick=${() => save("jsonl")}>Export as JSON lines</button>
      <button disabled=${isBusy.value} onClick=${() => save("csv")}>Export as CSV</button>
      ${!isAllowed && html`<small>To change messages needs the scope control.</small>`}`}
    ${asked.value && html`<${Question} ...${asked.value} priority=${priority.value} onConfirm=${act} onClose=${() => (asked.value = null)} />`}
  </div>`;
}

/** @param {{ count: number, atLeast: boolean } | null | undefined} total */
function countWords(total) {
  if (total === undefined) return "…";
  if (total === null) return "Newest first, as far as searched";
  return total.atLeast ? `More than ${whole(total.count)} match` : `${whole(total.count)} ${total.count === 1 ? "matches" : "match"}`;
}

/** @param {{ action: Action, match: Match, priority: string, onConfirm: (action: Action, match: Match) => void, onClose: () => void }} props */
function Question({ action, match, priority, onConfirm, onClose }) {
  const number = plural(match.count, "message");
  const title = { cancel: `Cancel ${number}?`, retry: `Retry ${number}?`, priority: `Give ${number} the priority ${priority}?` }[action];
  const word = { cancel: "Cancel them", retry: "Retry them", priority: "Change them" }[action];
  return html`<${Confirmation} title=${title} word=${word} onConfirm=${() => onConfirm(action, match)} onClose=${onClose}>
    ${{
      cancel: "Those that run stop at once. What they have written so far stays.",
      retry: "Each goes to the end of its thread, with all attempts left.",
      priority: "Each goes to where it would be had it been submitted with this priority.",
    }[action]}
    ${match.count === MOST_AT_ONCE && ` There may be more: these are the newest ${whole(MOST_AT_ONCE)}.`}
  </${Confirmation}>`;
}
