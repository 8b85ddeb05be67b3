/** Usage as a picture: lines over hours or days, bars of other groups. */

import { Bars } from "../../components/bars.js";
import { Chart } from "../../components/chart.js";
import { money, plural, short } from "../../format.js";
import { html } from "../../html.js";
import { namesOf } from "./rows.js";

/** @typedef {import("agentq-client/operators").UsageRow} UsageRow */

/** Bars that are shown. The rest is added up. */
const MOST = 8;

const HOUR_MS = 3_600_000;

/** @param {{ rows: readonly UsageRow[], groups: readonly string[], names: ReadonlyMap<string, string> }} props */
export function Drawn({ rows, groups, names }) {
  const unit = groups.includes("hour") ? "hour" : groups.includes("day") ? "day" : null;
  if (unit === null) return html`<${Largest} ...${{ rows, groups, names }} />`;
  const { times, tokens, costs } = overTime(rows, unit);
  return html`<div class="charts">
    <${Chart} title="Tokens ${unit === "hour" ? "an hour" : "a day"}" format=${short} times=${times} lines=${[{ label: "tokens", color: "accent", values: tokens }]} />
    ${costs.some((cost) => cost > 0) && html`<${Chart} title="Cost ${unit === "hour" ? "an hour" : "a day"}" format=${money} times=${times} lines=${[{ label: "US dollars", color: "good", values: costs }]} />`}
  </div>`;
}

/**
 * Return the sums of each hour or day from the first with calls until now. Those without calls have 0.
 * @param {readonly UsageRow[]} rows
 * @param {"hour" | "day"} unit
 */
function overTime(rows, unit) {
  const step = unit === "hour" ? HOUR_MS : 24 * HOUR_MS;
  /** @type {Map<number, { tokens: number, cost: number }>} */
  const sums = new Map();
  for (const row of rows) {
    const at = Date.parse(row[unit] ?? "");
    const { tokens, cost } = sums.get(at) ?? { tokens: 0, cost: 0 };
    sums.set(at, { tokens: tokens + row.total_tokens, cost: cost + Number(row.cost ?? 0) });
  }
  const begin = Math.min(...sums.keys(), Math.floor(Date.now() / step) * step - step);
  const moments = Array.from({ length: Math.floor((Date.now() - begin) / step) + 1 }, (_, at) => begin + at * step);
  return {
    times: moments.map((at) => new Date(at).toISOString()),
    tokens: moments.map((at) => sums.get(at)?.tokens ?? 0),
    costs: moments.map((at) => sums.get(at)?.cost ?? 0),
  };
}

/** @param {{ rows: readonly UsageRow[], groups: readonly string[], names: ReadonlyMap<string, string> }} props */
function Largest({ rows, groups, names }) {
  const isPriced = rows.some(({ cost }) => Number(cost) > 0);
  const amount = (/** @type {UsageRow} */ row) => (isPriced ? Number(row.cost ?? 0) : row.total_tokens);
  const text = (/** @type {number} */ value) => (isPriced ? money(value) : short(value));
  const sorted = [...rows].sort((one, other) => amount(other) - amount(one));
  const bars = sorted.slice(0, MOST).map((row) => ({
    name: namesOf(row, groups, names).join(", "),
    value: amount(row),
    text: text(amount(row)),
    note: plural(row.calls, "call"),
  }));
  const rest = sorted.slice(MOST);
  if (rest.length > 0) {
    const value = rest.reduce((sum, row) => sum + amount(row), 0);
    bars.push({ name: `${plural(rest.length, "other")}`, value, text: text(value), note: "" });
  }
  return html`<${Bars} title=${isPriced ? "The highest costs" : "The most tokens"} bars=${bars} />`;
}
