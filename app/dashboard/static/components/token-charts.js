/** Usage of models over time, as amounts a minute. */

import { money, short } from "../format.js";
import { html } from "../html.js";
import { Chart } from "./chart.js";

/** @typedef {import("agentq-client/operators").SeriesList} SeriesList */
/** @typedef {SeriesList["series"][number]["points"][number]} Point */

const COLORS = ["accent", "warning", "good", "bad"];

/** Tokens and cost of everything. @param {{ used: SeriesList }} props */
export function TokenCharts({ used }) {
  const points = used.series[0]?.points ?? [];
  const line = (/** @type {string} */ label, /** @type {string} */ color, /** @type {"input_tokens" | "output_tokens" | "cached_tokens"} */ name) => ({
    label,
    color,
    values: points.map(({ tokens }) => rate(tokens?.[name], used.step)),
  });
  const lines = [line("read", "accent", "input_tokens"), line("of these from cache", "quiet", "cached_tokens"), line("written", "good", "output_tokens")];
  return html`<${Pair} times=${points.map(({ at }) => at)} lines=${lines} costs=${costsOf([{ group: "US dollars", points }], used.step)} />`;
}

/** Tokens and cost of the agents that used the most. @param {{ used: SeriesList }} props */
export function AgentCharts({ used: { series, step } }) {
  const shown = series.slice(0, COLORS.length);
  const lines = shown.map(({ group, points }, at) => ({
    label: group ?? "",
    color: /** @type {string} */ (COLORS[at]),
    values: points.map(({ tokens }) => rate(tokens && tokens.input_tokens + tokens.output_tokens, step)),
  }));
  return html`<${Pair} times=${shown[0]?.points.map(({ at }) => at) ?? []} lines=${lines} costs=${costsOf(shown, step)} />`;
}

/** @param {{ times: string[], lines: import("./chart.js").Line[], costs: import("./chart.js").Line[] }} props */
function Pair({ times, lines, costs }) {
  return html`<${Chart} title="Tokens a minute" format=${short} ...${{ times, lines }} />
    ${costs.some(({ values }) => values.some((value) => value)) && html`<${Chart} title="Cost a minute" format=${money} times=${times} lines=${costs} />`}`;
}

/**
 * Return the costs a minute; null where calls were made and no price is known.
 * @param {readonly { group: string | null, points: readonly Point[] }[]} series
 * @param {number} step
 */
function costsOf(series, step) {
  return series.map(({ group, points }, at) => ({
    label: group ?? "",
    color: COLORS[at] ?? "accent",
    values: points.map(({ tokens }) => rate(tokens && (tokens.cost === null ? null : Number(tokens.cost)), step)),
  }));
}

/**
 * @param {number | null | undefined} amount  in a step
 * @param {number} step  in seconds
 */
function rate(amount, step) {
  return amount === null || amount === undefined ? null : (60 * amount) / step;
}
