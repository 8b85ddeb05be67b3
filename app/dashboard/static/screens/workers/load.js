/** The work of a worker, as of its last heartbeat. */

import { plural, size, UNKNOWN, whole } from "../../format.js";
import { html } from "../../html.js";
import { linkTo } from "../../router.js";

/** @typedef {import("agentq-client/operators").Worker} Worker */

/** Number of messages up to which they are shown at once. */
const MOST_OPEN = 3;

/** The names of the cells of `LoadCells`. */
export const LOAD_TITLES = ["Busy slots", "Memory", "Tokens a second"];

/** @param {{ worker: Worker }} props */
export function LoadCells({ worker: { slots, load } }) {
  const rate = load?.tokens_per_second;
  return html`
    <td class="number extra">${load ? `${whole(load.busy)} of ${whole(slots)}` : `${UNKNOWN} of ${whole(slots)}`}</td>
    <td class="number extra">${size(load?.memory_bytes)}</td>
    <td class="number extra">${rate === undefined ? UNKNOWN : rate < 10 ? rate.toFixed(1) : whole(rate)}</td>
  `;
}

/** The messages that a worker runs. Those of other tenants have no links. @param {{ worker: Worker }} props */
export function Runs({ worker: { load } }) {
  if (!load) return html`<small>does not tell</small>`;
  if (load.busy === 0) return html`<small>nothing</small>`;
  const { busy, runs = [] } = load;
  const rest = busy - runs.length;
  const list = html`<ul>
    ${runs.map(({ message_id: id, agent }) => html`<li key=${id}><a href=${linkTo(["message", id])} title=${id}>${agent} <code>${id.slice(-8)}</code></a></li>`)}
    ${rest > 0 && html`<li><small>${plural(rest, "other message")}</small></li>`}
  </ul>`;
  return runs.length <= MOST_OPEN ? list : html`<details><summary>${plural(busy, "message")}</summary>${list}</details>`;
}
