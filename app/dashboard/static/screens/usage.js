/** Tokens and cost of the calls of models: by day, tenant, key, model or agent. */

import { client } from "../client.js";
import { Empty } from "../components/empty.js";
import { Freshness } from "../components/freshness.js";
import { Problem } from "../components/problem.js";
import { AgentCharts } from "../components/token-charts.js";
import { money, short, whole } from "../format.js";
import { html } from "../html.js";
import { attempt } from "../notes.js";
import { useRefreshed } from "../refreshing.js";
import { linkTo } from "../router.js";
import { may } from "../session.js";
import { Drawn } from "./usage/drawn.js";
import { Quotas } from "./usage/quotas.js";
import { GROUPS, groupsOf, wantedOf, WINDOWS, windowOf } from "./usage/query.js";
import { Rows } from "./usage/rows.js";
import { Storage } from "./usage/storage.js";

/** Sums of an hour change slowly. */
const PACE = { busyMs: 30_000, idleMs: 300_000, concerns: ended };

/** How many groups are shown. A file has all. */
const MOST_ROWS = 1_000;

/** @param {import("agentq-client/operators").Change} change */
function ended({ state_before: before }) {
  return before === "processing"; // its calls are counted by then
}

/** @param {import("../screens.js").ScreenProps} props */
export default function Usage({ query }) {
  const [chosen, groups] = [windowOf(query), groupsOf(query)];
  const wanted = () => wantedOf(chosen, groups);
  const loaded = useRefreshed((signal) => load(chosen, wanted(), signal), [query.toString()], PACE);
  const { value, error, isStale, loadedAt, reload } = loaded;
  const again = () => void reload();
  return html`
    <div class="heading">
      <h1>Usage</h1>
      <div class="actions"><button disabled=${!value || value.rows.length === 0} onClick=${() => download(wanted())}>Download as CSV</button></div>
    </div>
    <div class="stack pulse">
      <${Choices} ...${{ chosen, groups }} />
      ${error !== null && html`<${Problem} error=${error} retry=${again} />`}
      <${Freshness} ...${{ isStale, loadedAt }} />
      ${!value && error === null && html`<p class="quiet" role="status">Loading…</p>`}
      ${value && html`<${Present} ...${{ value, isStale, groups }} />`}
      <${Quotas} />
      <${Storage} />
    </div>
  `;
}

/** @typedef {import("agentq-client/operators").UsageRow} UsageRow */
/** @typedef {import("agentq-client/operators").UsageQuery} UsageQuery */

/**
 * @param {import("./usage/query.js").Window} chosen
 * @param {UsageQuery} wanted
 * @param {AbortSignal} signal
 */
async function load({ step }, wanted, signal) {
  const [[total], rows, keys, used] = await Promise.all([
    first(client.usage.list({ ...wanted, group_by: [] }, { signal }), 1),
    first(client.usage.list({ ...wanted, limit: 100 }, { signal }), MOST_ROWS + 1),
    wanted.group_by?.includes("key") && may("admin") ? first(client.keys.list({}, { signal }), MOST_ROWS) : [],
    step ? client.statistics.series("usage", { since: wanted.since, step, group_by: "agent" }, { signal }) : null,
  ]);
  return { total, rows, used, names: new Map(keys.map(({ id, name }) => [id, name])) };
}

/** Return the first entries of a list. @template T @param {import("agentq-client").Pages<T>} list @param {number} most @returns {Promise<T[]>} */
async function first(list, most) {
  const found = [];
  for await (const each of list) {
    found.push(each);
    if (found.length === most) break;
  }
  return found;
}

/** @param {UsageQuery} wanted */
function download(wanted) {
  return attempt(async () => {
    const text = await client.usage.csv(wanted);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `usage-${wanted.group_by?.join("-")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href));
    return "The file is downloaded.";
  });
}

/** @param {{ value: Awaited<ReturnType<typeof load>>, isStale: boolean, groups: readonly string[] }} props */
function Present({ value: { total, rows, used, names }, isStale, groups }) {
  if (!total || total.calls === 0) {
    return html`<${Empty} title="No calls of models in this time" command='agentq submit "Hello" --follow'>Tokens and cost are counted once a message runs:</${Empty}>`;
  }
  const shown = rows.slice(0, MOST_ROWS);
  return html`<div class=${isStale ? "stack stale" : "stack"}>
    <${Totals} total=${total} />
    ${used && html`<div class="charts" data-part="by-agent"><${AgentCharts} used=${used} /></div>`}
    <${Drawn} rows=${shown} groups=${groups} names=${names} />
    <${Rows} rows=${shown} total=${total} groups=${groups} names=${names} />
    ${rows.length > shown.length && html`<p>The first ${whole(shown.length)} groups are shown. The file has all.</p>`}
  </div>`;
}

/** @param {{ total: UsageRow }} props */
function Totals({ total }) {
  const figures = [
    ["Cost", money(total.cost), total.cost === null ? "no price is known" : total.cost_complete ? "" : "without calls whose price is not known"],
    ["Tokens", short(total.total_tokens), `${short(total.input_tokens)} read, ${short(total.output_tokens)} written`],
    ["Calls of models", short(total.calls), ""],
    ["From the provider's cache", short(total.cached_tokens), "of the tokens read"],
  ];
  return html`<dl class="cards">
    ${figures.map(([name, figure, note]) => html`<div key=${name} class="card figure"><dt>${name}</dt><dd class="number">${figure}</dd>${note && html`<dd class="note">${note}</dd>`}</div>`)}
  </dl>`;
}

/** @param {{ chosen: import("./usage/query.js").Window, groups: readonly string[] }} props */
function Choices({ chosen, groups }) {
  const place = (/** @type {string} */ window, /** @type {readonly string[]} */ by) => linkTo(["usage"], { window, by: by.join(",") });
  const offered = GROUPS.filter(({ scope }) => may(scope));
  const toggled = (/** @type {string} */ name) => {
    const others = groups.filter((each) => each !== name);
    return others.length < groups.length ? (others.length ? others : groups) : [...others, name];
  };
  return html`<div class="row choosing">
    <nav class="tabs" aria-label="Window of time"><ul>
      ${WINDOWS.map((each) => html`<li key=${each.name}><a href=${place(each.name, groups)} aria-current=${each === chosen ? "true" : null}>${each.title}</a></li>`)}
    </ul></nav>
    <nav class="tabs" aria-label="Group by"><ul><li class="quiet">by</li>
      ${offered.map(({ name, title }) => html`<li key=${name}><a href=${place(chosen.name, toggled(name))} aria-current=${groups.includes(name) ? "true" : null}>${title}</a></li>`)}
    </ul></nav>
  </div>`;
}
