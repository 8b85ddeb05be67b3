/** The figures of the moment, and how many messages wait with each priority. */

import { Bars } from "../../components/bars.js";
import { money, plural, short, span, UNKNOWN, whole } from "../../format.js";
import { html } from "../../html.js";

/** @typedef {import("agentq-client/operators").StatisticsView} Stats */

/** @type {Record<string, string>} */
const COLORS = { high: "warning", normal: "accent", low: "quiet" };

/** @param {{ stats: Stats }} props */
export function Figures({ stats }) {
  const { messages, completed_per_minute: rate, error_rate: errors, wait, first_token: first, tokens, server } = stats;
  const minutes = (Date.parse(stats.until) - Date.parse(stats.since)) / 60_000;
  const failed = stats.counts.failed ?? 0;
  /** @type {[name: string, figure: string, note: string][]} */
  const figures = [
    ["Completed a minute", rate < 10 ? rate.toFixed(1) : whole(rate), `${plural(stats.counts.completed ?? 0, "message")} in ${span(60 * minutes)}`],
    ["Queued", short(messages.queued), server?.delayed ? `${whole(server.delayed)} for a later time` : ""],
    ["Running", whole(messages.processing), server ? `${whole(server.slots_busy)} of ${plural(server.slots, "slot")} busy` : ""],
    ["Waiting for a person", whole(messages.interrupted), ""],
    ["Wait, half within", span(wait.p50), `95 % within ${span(wait.p95)}`],
    ["First token, half within", span(first.p50), `95 % within ${span(first.p95)}`],
    ["Failed", errors === null ? UNKNOWN : `${(100 * errors).toFixed(1)} %`, failed ? plural(failed, "message") : ""],
    ["Tokens", tokens.calls ? short(tokens.input_tokens + tokens.output_tokens) : UNKNOWN, costOf(tokens)],
  ];
  return html`<dl class="cards">
    ${figures.map(
      ([name, figure, note]) => html`<div key=${name} class="card figure">
        <dt>${name}</dt><dd class="number">${figure}</dd>${note && html`<dd class="note">${note}</dd>`}
      </div>`,
    )}
  </dl>`;
}

/** @param {Stats["tokens"]} tokens  of the window */
function costOf({ calls, cost, cost_complete: isComplete }) {
  if (!calls) return "no calls of models";
  if (cost === null) return "no price is known";
  return isComplete ? money(cost) : `${money(cost)}, without calls whose price is not known`;
}

/**
 * Callers with the scope `admin` see the whole server, in the order of its claims, others the messages of their tenant.
 * @param {{ stats: Stats }} props
 */
export function Depth({ stats: { server, queued_by_priority: queued } }) {
  if (server === null) {
    const own = Object.entries(queued).map(([name, value]) => ({ name, value, text: whole(value), color: COLORS[name] ?? "accent" }));
    return html`<${Bars} title="Queued, by priority" bars=${own} />`;
  }
  const bars = Object.entries(server.waiting).map(([name, value]) => ({
    name: name === "all" ? "all priorities" : name,
    value,
    text: whole(value),
    note: name in server.oldest_seconds ? `the first for ${span(server.oldest_seconds[name])}` : "",
    color: COLORS[name] ?? "accent",
  }));
  return html`<${Bars} title="Waiting, by priority" bars=${bars} />`;
}
