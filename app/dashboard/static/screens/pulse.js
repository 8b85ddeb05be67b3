/** How the queue is now, and how it was in a window of time. */

import { client } from "../client.js";
import { Empty } from "../components/empty.js";
import { Freshness } from "../components/freshness.js";
import { Problem } from "../components/problem.js";
import { PausedBanner, QueueSwitch } from "../components/queue-switch.js";
import { html } from "../html.js";
import { useRefreshed } from "../refreshing.js";
import { linkTo } from "../router.js";
import { Charts } from "./pulse/charts.js";
import { Depth, Figures } from "./pulse/figures.js";
import { Problems } from "./pulse/problems.js";
import { Running } from "./pulse/running.js";
import { beginOf, windowOf, WINDOWS } from "./pulse/windows.js";

/** How often figures are loaded. To add up those of a window takes the server some milliseconds, for each viewer. */
const STATS_PACE = { busyMs: 10_000, idleMs: 60_000 };

/** How often the running messages are loaded. */
const QUEUE_PACE = { busyMs: 5_000, idleMs: 60_000, isMoving };

/** Return whether a message runs: what it writes is no change of the server. @param {QueueNow} value */
function isMoving({ queue }) {
  return queue.processing_messages.length > 0;
}

/** @param {import("../screens.js").ScreenProps} props */
export default function Pulse({ query }) {
  const chosen = windowOf(query);
  const stats = useRefreshed((signal) => client.statistics.get({ since: beginOf(chosen) }, { signal }), [chosen.name], STATS_PACE);
  const queue = useRefreshed(queueNow, [], QUEUE_PACE);
  const error = stats.error ?? queue.error;
  const isStale = stats.isStale || queue.isStale;
  const loadedAt = stats.loadedAt && queue.loadedAt && Math.min(stats.loadedAt, queue.loadedAt);
  const isLoaded = stats.value !== undefined && queue.value !== undefined;
  const again = () => {
    void stats.reload();
    void queue.reload();
  };
  return html`
    <div class="heading">
      <h1>Pulse</h1>
      <${Windows} chosen=${chosen} />
      <div class="actions"><${QueueSwitch} isPaused=${queue.value?.queue.paused} onDone=${again} /></div>
    </div>
    <div class="stack pulse">
      ${error !== null && html`<${Problem} error=${error} retry=${again} />`}
      <${Freshness} ...${{ isStale, loadedAt }} />
      ${isLoaded && html`<${Present} ...${{ stats: stats.value, now: queue.value, isStale, chosen, again }} />`}
      ${!isLoaded && error === null && html`<p class="quiet" role="status">Loading…</p>`}
      <${Problems} />
    </div>
  `;
}

/** @param {AbortSignal} signal */
async function queueNow(signal) {
  return { queue: await client.queue.get({ limit: 1 }, { signal }), at: Date.now() };
}

/** @typedef {Awaited<ReturnType<typeof queueNow>>} QueueNow */

/**
 * @param {{ stats: import("agentq-client/operators").StatisticsView, now: QueueNow, isStale: boolean,
 *   chosen: import("./pulse/windows.js").Window, again: () => void }} props
 */
function Present({ stats, now: { queue, at }, isStale, chosen, again }) {
  const isUnused = Object.values(stats.messages).every((count) => count === 0) && stats.counts.accepted === 0;
  return html`<div class=${isStale ? "stack stale" : "stack"} data-part="figures">
    <${PausedBanner} isPaused=${queue.paused} />
    ${isUnused &&
    html`<${Empty} title="No messages yet" command='agentq submit "Hello" --follow'>Submit one from a terminal, and see it run here:</${Empty}>`}
    <${Figures} stats=${stats} />
    ${!isUnused && html`<${Charts} chosen=${chosen} />`}
    <${Depth} stats=${stats} />
    <${Running} messages=${queue.processing_messages} at=${at} onDone=${again} />
  </div>`;
}

/** @param {{ chosen: import("./pulse/windows.js").Window }} props */
function Windows({ chosen }) {
  return html`<nav class="tabs" aria-label="Window of time"><ul>
    ${WINDOWS.map(
      (each, at) => html`<li key=${each.name}>
        <a href=${linkTo(["pulse"], at ? { window: each.name } : {})} aria-current=${each === chosen ? "true" : null}>${each.title}</a>
      </li>`,
    )}
  </ul></nav>`;
}
