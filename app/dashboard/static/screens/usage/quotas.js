/** The rest of the quotas of the caller, and for admins what each tenant is given. */

import { client } from "../../client.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { short, UNKNOWN, whole } from "../../format.js";
import { html } from "../../html.js";
import { useRefreshed } from "../../refreshing.js";
import { may } from "../../session.js";

/** @typedef {import("agentq-client/operators").QuotaUse} QuotaUse */
/** @typedef {import("agentq-client/operators").Tenant} Tenant */

/** Tokens are counted when a message ends, messages when they come. */
const PACE = { busyMs: 30_000, idleMs: 300_000 };

/** How many tenants are shown. */
const MOST_TENANTS = 100;

/** The part of a quota that somebody should know of when it is used. */
const NEARLY = 0.8;

export function Quotas() {
  const isAdmin = may("admin");
  const { value, error, isStale, reload } = useRefreshed((signal) => load(isAdmin, signal), [isAdmin], PACE);
  if (!value) return error !== null && html`<${Problem} error=${error} retry=${() => void reload()} />`;
  return html`<div class=${isStale ? "stack stale" : "stack"}>
    ${value.quotas.length > 0 && html`<${Left} quotas=${value.quotas} />`}
    ${value.tenants.length > 0 && html`<${Tenants} tenants=${value.tenants} />`}
  </div>`;
}

/** @param {boolean} isAdmin @param {AbortSignal} signal */
async function load(isAdmin, signal) {
  const [quotas, tenants] = await Promise.all([client.usage.quotas({}, { signal }), isAdmin ? firstTenants(signal) : []]);
  return { quotas, tenants };
}

/** @param {AbortSignal} signal @returns {Promise<Tenant[]>} */
async function firstTenants(signal) {
  const { value } = await client.tenants.list({ limit: MOST_TENANTS }, { signal }).pages().next();
  return value ?? [];
}

/** @type {Record<string, string>} */
const OWNERS = { tenant: "your tenant", key: "your API key", subject: "the end user" };

/** @param {{ quotas: readonly QuotaUse[] }} props */
function Left({ quotas }) {
  return html`<section class="card" aria-label="Quotas"><h2>Quotas</h2>
    <ul class="quotas">${quotas.map((each) => html`<${Quota} key=${`${each.of} ${each.unit} ${each.period}`} ...${each} />`)}</ul>
  </section>`;
}

/** @param {QuotaUse} props */
function Quota({ of, unit, period, limit, used, left, resets_at: resets }) {
  const color = left === 0 ? "bad" : used / limit >= NEARLY ? "warning" : "accent";
  const name = `${unit === "tokens" ? "Tokens" : "Messages"} a ${period} of ${OWNERS[of] ?? of}`;
  return html`<li>
    <p class="row spread"><span>${name}</span><strong class="number">${left === 0 ? "none left" : `${whole(left)} left`}</strong></p>
    <svg preserveAspectRatio="none" viewBox="0 0 100 10" aria-hidden="true"><rect width=${Math.min(100, (100 * used) / limit)} height="10" fill="var(--${color})" /></svg>
    <p class="row spread"><small>${whole(used)} of ${whole(limit)} used</small><small>begins anew <${Moment} at=${resets} /></small></p>
  </li>`;
}

/** @type {(title: string, amount: (tenant: Tenant) => number | null | undefined) => { title: string, amount: typeof amount }} */
const column = (title, amount) => ({ title, amount });

const COLUMNS = [
  column("Weight", ({ weight }) => weight),
  column("Submits a minute", ({ limits }) => limits.submits_per_minute),
  column("Queued", ({ limits }) => limits.queued),
  column("Streams", ({ limits }) => limits.streams),
  column("Messages a day", ({ quotas }) => quotas.messages_per_day),
  column("Messages a month", ({ quotas }) => quotas.messages_per_month),
  column("Tokens a day", ({ quotas }) => quotas.tokens_per_day),
  column("Tokens a month", ({ quotas }) => quotas.tokens_per_month),
];

/** @param {{ tenants: readonly Tenant[] }} props */
function Tenants({ tenants }) {
  return html`<section class="card" aria-label="Tenants"><h2>What tenants are given</h2>
    <div class="scrolled" tabindex="0" role="group" aria-label="Table of tenants"><table>
      <thead><tr><th scope="col">Tenant</th>${COLUMNS.map(({ title }) => html`<th key=${title} scope="col" class="number">${title}</th>`)}</tr></thead>
      <tbody>${tenants.map(
        (tenant) => html`<tr key=${tenant.tenant}><th scope="row" class="cited">${tenant.tenant}</th>
          ${COLUMNS.map(({ title, amount }) => html`<td key=${title} class="number">${shown(amount(tenant))}</td>`)}</tr>`,
      )}</tbody>
    </table></div>
    <p><small>${UNKNOWN} stands for the server's setting, and for no quota. 0 is no limit. “agentq tenants” changes them.</small></p>
  </section>`;
}

/** @param {number | null | undefined} amount */
function shown(amount) {
  return amount !== null && amount !== undefined && !Number.isInteger(amount) ? String(amount) : short(amount);
}
