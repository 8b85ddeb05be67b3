/** The processes that run messages: their slots, heartbeats, versions and agents, and those that were lost. */

import { client } from "../client.js";
import { Empty } from "../components/empty.js";
import { Freshness } from "../components/freshness.js";
import { Moment } from "../components/moment.js";
import { Problem } from "../components/problem.js";
import { PausedBanner, QueueSwitch } from "../components/queue-switch.js";
import { plural, whole } from "../format.js";
import { html } from "../html.js";
import { useRefreshed } from "../refreshing.js";
import { Shown } from "./pulse/problems.js";
import { LOAD_TITLES } from "./workers/load.js";
import { Row } from "./workers/row.js";

/** @typedef {import("agentq-client/operators").Change} Change */

/** Heartbeats come without changes, so the list is loaded every few seconds. */
const PACE = { busyMs: 2_000, idleMs: 10_000, concerns };

const TROUBLES_PACE = { busyMs: 10_000, idleMs: 60_000, concerns };

/** How many of the lost workers are told, the newest first. */
const MOST_LOST = 5;

/** Codes of findings about workers and their agents. */
const OF_WORKERS = new Set([
  "no_worker", "workers_drained", "worker_lost", "workers_busy", "agent_loading", "agent_failed", "agent_missing", "hung_threads", "loop_blocked", "heartbeat_lost", "clock_skew",
]);

/** @param {Change} change */
function concerns({ type }) {
  return !type.startsWith("message.") && !type.startsWith("thread.");
}

export default function Workers() {
  const { value, error, isStale, loadedAt, reload } = useRefreshed(load, [], PACE);
  const again = () => void reload();
  return html`
    <div class="heading">
      <h1>Workers</h1>
      <div class="actions"><${QueueSwitch} isPaused=${value?.server?.paused} onDone=${again} /></div>
    </div>
    <div class="stack">
      ${error !== null && html`<${Problem} error=${error} retry=${again} />`}
      <${Freshness} ...${{ isStale, loadedAt }} />
      ${value ? html`<${List} ...${{ value, isStale, again }} />` : error === null && html`<p class="quiet" role="status">Loading…</p>`}
      <${Troubles} />
    </div>
  `;
}

/** @param {AbortSignal} signal */
async function load(signal) {
  const [workers, { server }, { events }] = await Promise.all([
    client.workers.list({ signal }),
    client.statistics.get({}, { signal }),
    client.changes.list({ type: ["worker.lost"] }, { signal }),
  ]);
  const lost = new Map(events.map(({ worker_id: id, at }) => [id, at]));
  for (const { id } of workers) lost.delete(id);
  return { workers, server, lost: [...lost].reverse().slice(0, MOST_LOST) };
}

/** @param {{ value: Awaited<ReturnType<typeof load>>, isStale: boolean, again: () => void }} props */
function List({ value: { workers, server, lost }, isStale, again }) {
  const areDrained = workers.length > 0 && workers.every(({ state }) => state !== "active");
  return html`<div class=${isStale ? "stack stale" : "stack"}>
    <${PausedBanner} isPaused=${server?.paused} />
    ${areDrained && html`<p class="banner" role="status"><strong>All workers are drained.</strong> Messages are accepted and wait. Resume a worker, or start one.</p>`}
    ${lost.map(
      ([id, at]) => html`<p key=${id} class="banner"><strong>Worker ${id} was lost</strong> <${Moment} at=${at} />: its heartbeats ended without
        a farewell. Other workers run its messages again, from their last finished step. Look for its process, and start it again.</p>`,
    )}
    ${workers.length === 0
      ? html`<${Empty} title="No worker is alive" command="agentq worker">Messages are accepted and wait. Start a worker:</${Empty}>`
      : html`<section class="card" aria-label="Live workers">
          <p>${plural(workers.length, "worker")}${server && `, ${whole(server.slots_busy)} of ${plural(server.slots, "slot")} busy`}</p>
          <div class="scrolled" tabindex="0" role="group" aria-label="Table of workers"><table>
            <thead><tr><th>Worker</th><th class="extra">Host and process</th><th class="extra">Started</th><th class="extra">Heartbeat</th>${LOAD_TITLES.map((title) => html`<th key=${title} class="number extra">${title}</th>`)}<th>State</th><th>Runs now</th><th>Agents</th></tr></thead>
            <tbody>${workers.map((worker) => html`<${Row} key=${worker.id} worker=${worker} onDone=${again} />`)}</tbody>
          </table></div>
        </section>`}
  </div>`;
}

/** The problems of workers and agents in words, with their cures. */
function Troubles() {
  const { value = [], error, isStale } = useRefreshed(examine, [], TROUBLES_PACE);
  if (error !== null || value.length === 0) return null;
  return html`<section class="card ${isStale ? "stale" : ""}" aria-label="Problems of workers">
    <h2>Problems of workers</h2>
    <ul class="findings">${value.map((each) => html`<${Shown} key=${each.code + each.detail} ...${each} />`)}</ul>
  </section>`;
}

/** @param {AbortSignal} signal */
async function examine(signal) {
  const { findings } = await client.server.doctor({ signal });
  return findings.filter(({ code }) => OF_WORKERS.has(code));
}
