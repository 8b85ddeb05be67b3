/** Short notes at the edge of the page: what was done, and what went wrong. */

import { AgentQError, ServerTooOld } from "agentq-client";
import { signal } from "@preact/signals";

import { html } from "./html.js";

const SHOWN_MS = 6_000;

const TOO_OLD = "It may be older than this page, as after a return to an earlier version. Reload the page.";

/** @typedef {{ id: number, kind: "good" | "bad", text: string }} Note */

const notes = signal(/** @type {Note[]} */ ([]));
let last = 0;

/**
 * Show a text for some seconds; errors stay until they are closed.
 * @param {string} text
 * @param {"good" | "bad"} [kind]
 */
export function tell(text, kind = "good") {
  const id = ++last;
  notes.value = [...notes.value.slice(-3), { id, kind, text }];
  if (kind === "good") setTimeout(() => close(id), SHOWN_MS);
}

/**
 * Do something and tell of its end. Return whether it was done.
 * @param {() => Promise<string>} action  returns what was done, in words
 */
export async function attempt(action) {
  try {
    tell(await action());
    return true;
  } catch (error) {
    tell(wordsOf(error), "bad");
    return false;
  }
}

/**
 * Return what went wrong and what to do.
 * @param {unknown} error
 */
export function wordsOf(error) {
  const { what, cure } = partsOf(error);
  return cure ? `${what} ${cure}` : what;
}

/**
 * Return what went wrong, and what to do as far as that is known.
 * @param {unknown} error
 * @returns {{ what: string, cure: string | null }}
 */
export function partsOf(error) {
  if (!(error instanceof AgentQError)) return { what: String(error).replace(/^Error: /, ""), cure: null };
  if (error instanceof ServerTooOld) return { what: error.what, cure: TOO_OLD };
  return { what: error.what, cure: error.cure || null };
}

/** @param {number} id */
function close(id) {
  notes.value = notes.value.filter((each) => each.id !== id);
}

export function Notes() {
  return html`<div class="notes" role="status" aria-live="polite">
    ${notes.value.map(
      ({ id, kind, text }) => html`<div key=${id} data-kind=${kind}>
        ${text} <button class="plain" aria-label="Close this note" onClick=${() => close(id)}>✕</button>
      </div>`,
    )}
  </div>`;
}
