/** How old the figures of a part are, told when they are not of the present. */

import { span } from "../format.js";
import { html } from "../html.js";
import { isPaused } from "../live.js";
import { now } from "./moment.js";

/** @param {{ loadedAt: number | null, isStale: boolean }} props */
export function Freshness({ loadedAt, isStale }) {
  if (loadedAt === null || !(isStale || isPaused.value)) return null;
  const age = span(Math.max(0, Math.round((now.value - loadedAt) / 1000)));
  const why = isStale ? "The server does not answer. They are loaded again when it does." : "Updates are paused.";
  return html`<p class="freshness badge" data-kind="warning" role="status"><svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true"><path d="M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 2v4l3 2" /></svg>
    <span>These figures are <span aria-live="off">${age}</span> old. ${why}</span></p>`;
}
