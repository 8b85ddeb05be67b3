/** The state of a message: a shape, a word and a colour, so that no one needs the colour. */

import { html } from "../html.js";

/** @type {Record<string, { kind: string, word: string, shape: string }>} */
const STATES = {
  queued: { kind: "quiet", word: "queued", shape: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 2v4l3 2" },
  processing: { kind: "running", word: "running", shape: "M4 2l9 6-9 6z" },
  interrupted: { kind: "asking", word: "asks", shape: "M5 6a3 3 0 1 1 4 3l-1 1v1M8 13v1" },
  completed: { kind: "good", word: "completed", shape: "M2 8l4 4 8-9" },
  failed: { kind: "bad", word: "failed", shape: "M3 3l10 10M13 3L3 13" },
  cancelled: { kind: "quiet", word: "cancelled", shape: "M3 8h10" },
};

/** @param {{ state: string }} props */
export function StateBadge({ state }) {
  const { kind, word, shape } = STATES[state] ?? { kind: "quiet", word: state, shape: "" };
  return html`<span class="badge" data-kind=${kind}>
    <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true"><path d=${shape} /></svg>
    ${word}
  </span>`;
}
