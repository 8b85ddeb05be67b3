/** The status of a thread: a shape, a word and a colour. */

import { html } from "../../html.js";

/** @type {Record<string, { kind: string, word: string, shape: string }>} */
const STATUSES = {
  idle: { kind: "quiet", word: "idle", shape: "M3 8h10" },
  busy: { kind: "running", word: "busy", shape: "M4 2l9 6-9 6z" },
  interrupted: { kind: "asking", word: "asks", shape: "M5 6a3 3 0 1 1 4 3l-1 1v1M8 13v1" },
  error: { kind: "bad", word: "failed last", shape: "M3 3l10 10M13 3L3 13" },
};

/** @param {{ status: string }} props */
export function ThreadBadge({ status }) {
  const { kind, word, shape } = STATUSES[status] ?? { kind: "quiet", word: status, shape: "" };
  return html`<span class="badge" data-kind=${kind}>
    <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true"><path d=${shape} /></svg>${word}
  </span>`;
}
