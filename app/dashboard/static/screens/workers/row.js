/** A worker in the list. */

import { Moment } from "../../components/moment.js";
import { plural, span } from "../../format.js";
import { html } from "../../html.js";
import { DrainSwitch } from "./drain-switch.js";
import { LoadCells, Runs } from "./load.js";

/** @typedef {import("agentq-client/operators").Worker} Worker */
/** @typedef {NonNullable<Worker["agents"]>[number]} Agent */

/** The least difference of clocks that is told, in milliseconds. */
const CLOCK_MS = 2_000;

/** Number of agents up to which they are shown at once. */
const MOST_OPEN = 3;

/** @param {{ worker: Worker, onDone: () => void }} props  `onDone` is called after the worker was changed */
export function Row({ worker, onDone }) {
  const { id, host, pid, started_at: started, last_beat: beat, agents, clock_ahead_ms: ahead = 0 } = worker;
  const differs = Math.abs(ahead) >= CLOCK_MS;
  return html`<tr>
    <td class="cited" title=${id}><code>${id}</code></td>
    <td class="cited extra" title=${host}>${host}, ${pid}${differs && html`<br /><small>its clock is ${span(Math.abs(ahead) / 1000)} ${ahead > 0 ? "ahead" : "behind"}</small>`}</td>
    <td class="extra"><${Moment} at=${started} /></td>
    <td class="extra"><${Moment} at=${beat} /></td>
    <${LoadCells} worker=${worker} />
    <td><${DrainSwitch} worker=${worker} onDone=${onDone} /></td>
    <td><${Runs} worker=${worker} /></td>
    <td class="agents"><${Agents} agents=${agents} /></td>
  </tr>`;
}

/** @param {{ agents: readonly Agent[] | null | undefined }} props */
function Agents({ agents }) {
  if (!agents) return html`<small>does not tell</small>`;
  if (agents.length === 0) return html`<small>none</small>`;
  const list = html`<ul>${agents.map((agent) => html`<${One} key=${agent.name} ...${agent} />`)}</ul>`;
  return agents.length <= MOST_OPEN ? list : html`<details><summary>${plural(agents.length, "agent")}</summary>${list}</details>`;
}

/** @type {Record<Agent["state"], [kind: string, word: string]>} */
const STATES = {
  loading: ["running", "is loading"],
  available: ["good", "available"],
  failed: ["bad", "cannot be loaded"],
  stuck: ["bad", "hangs"],
};

/** @param {Agent} props */
function One({ name, state, error, version }) {
  const [kind, word] = STATES[state];
  return html`<li>${name}${version && ` ${version}`} <span class="badge" data-kind=${kind}>${word}</span>${error && html`<p class="cited"><small>${error}</small></p>`}</li>`;
}
