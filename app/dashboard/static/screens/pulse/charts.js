/** Throughput, waits, first tokens, and what was used over time. They are loaded apart from the figures, and less often. */

import { client } from "../../client.js";
import { Chart } from "../../components/chart.js";
import { Problem } from "../../components/problem.js";
import { TokenCharts } from "../../components/token-charts.js";
import { short, span } from "../../format.js";
import { html } from "../../html.js";
import { useRefreshed } from "../../refreshing.js";
import { beginOf } from "./windows.js";

const IDLE_MS = 300_000;

/** @param {{ chosen: import("./windows.js").Window }} props */
export function Charts({ chosen }) {
  const pace = { busyMs: chosen.busyMs, idleMs: IDLE_MS };
  const { value, error, isStale, reload } = useRefreshed((signal) => load(chosen, signal), [chosen.name], pace);
  if (!value) return error !== null && html`<${Problem} error=${error} retry=${() => void reload()} />`;
  return html`<div class="charts ${isStale ? "stale" : ""}">
    <${Chart} title="Ended ${chosen.step === 60 ? "a minute" : chosen.step === 300 ? "in 5 minutes" : "an hour"}" format=${short} ...${countsOf(value.ended)} />
    <${Chart} title="Wait" format=${span} ...${timesOf(value.waits)} />
    <${Chart} title="First token" format=${span} ...${timesOf(value.firsts)} />
    <${TokenCharts} used=${value.used} />
  </div>`;
}

/**
 * @param {import("./windows.js").Window} chosen
 * @param {AbortSignal} signal
 */
async function load(chosen, signal) {
  const query = { since: beginOf(chosen), step: chosen.step };
  const [ended, waits, firsts, used] = await Promise.all([
    client.statistics.series("ended", { ...query, group_by: "state" }, { signal }),
    client.statistics.series("wait", query, { signal }),
    client.statistics.series("first_token", query, { signal }),
    client.statistics.series("usage", query, { signal }),
  ]);
  return { ended, waits, firsts, used };
}

/** @typedef {import("agentq-client/operators").SeriesList} SeriesList */

/** @type {Record<string, string>} */
const COLORS = { completed: "good", failed: "bad", cancelled: "quiet" };

/** @param {SeriesList} list */
function countsOf({ series }) {
  const times = series[0]?.points.map(({ at }) => at) ?? [];
  const lines = series.map(({ group, points }) => ({
    label: group ?? "all",
    color: COLORS[group ?? ""] ?? "accent",
    values: points.map(({ count }) => count),
  }));
  return { times, lines };
}

/** @param {SeriesList} list */
function timesOf({ series }) {
  const points = series[0]?.points ?? [];
  const lines = [
    { label: "half within", color: "accent", values: points.map(({ p50 }) => p50) },
    { label: "95 % within", color: "warning", values: points.map(({ p95 }) => p95) },
  ];
  return { times: points.map(({ at }) => at), lines };
}
