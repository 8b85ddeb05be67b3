/** What is stored: by tenant, the largest threads, and what the engine uses up. It is measured when somebody asks. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { client } from "../../client.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { plural, size, whole } from "../../format.js";
import { html } from "../../html.js";
import { useLoaded } from "../../loading.js";
import { linkTo } from "../../router.js";
import { session } from "../../session.js";

/** @typedef {import("agentq-client/operators").StorageReport} StorageReport */
/** @typedef {import("agentq-client/operators").TenantStorage} TenantStorage */
/** @typedef {import("agentq-client/operators").ThreadSizes} ThreadSizes */

/** How many of the largest threads are shown. */
const MOST_THREADS = 10;

export function Storage() {
  const asked = useSignal(false);
  if (session.value.view?.subject) return null; // sums of a tenant are not for its end users
  return html`<section class="card stack" aria-label="Storage"><h2>What is stored</h2>
    ${asked.value
      ? html`<${Measured} />`
      : html`<div class="row"><button onClick=${() => (asked.value = true)}>Measure</button><small>Reads all messages and events in the background, in small parts.</small></div>`}
  </section>`;
}

function Measured() {
  const own = session.value.view?.tenant ?? "";
  const chosen = useSignal(own);
  const report = useLoaded((signal) => client.storage.report({}, { signal }), []);
  const tenants = report.value?.tenants ?? [];
  const isRunning = tenants.some(({ complete, measuring }) => measuring || !complete);
  // A reply comes some seconds after its request while a measurement runs.
  useEffect(() => void (isRunning && report.reload()), [report.loadedAt]);
  if (report.error !== null) return html`<${Problem} error=${report.error} retry=${() => void report.reload()} />`;
  if (!report.value) return html`<p class="quiet" role="status">Measuring…</p>`;
  return html`
    ${isRunning && html`<p class="quiet" role="status">Measuring: the figures of tenants with a + are still too low.</p>`}
    <${Tenants} tenants=${tenants} chosen=${chosen.value} onChoose=${(/** @type {string} */ name) => (chosen.value = name)} />
    <${Threads} tenant=${chosen.value} own=${own} measuredAt=${report.loadedAt} />
    ${report.value.engine && html`<${Engine} engine=${report.value.engine} />`}
    <${Settings} settings=${report.value.settings} />
  `;
}

/** @type {readonly { title: string, amount: (sizes: TenantStorage | ThreadSizes) => string }[]} */
const SIZES = [
  { title: "Total", amount: ({ total_bytes: bytes }) => size(bytes) },
  { title: "Messages", amount: ({ messages }) => whole(messages) },
  { title: "Content", amount: ({ message_bytes: bytes }) => size(bytes) },
  { title: "Events", amount: ({ events }) => whole(events) },
  { title: "Logs", amount: ({ event_bytes: bytes }) => size(bytes) },
  { title: "Memory", amount: ({ memory_bytes: bytes }) => size(bytes) },
];

/** @param {{ tenants: readonly TenantStorage[], chosen: string, onChoose: (name: string) => void }} props */
function Tenants({ tenants, chosen, onChoose }) {
  if (tenants.length === 0) return html`<p class="quiet">Nothing is stored.</p>`;
  return html`<div class="scrolled" tabindex="0" role="group" aria-label="Table of storage"><table>
    <thead><tr><th scope="col">Tenant</th>${SIZES.map(({ title }) => html`<th key=${title} scope="col" class="number">${title}</th>`)}
      <th scope="col" class="number">Threads</th><th scope="col" class="number">Items</th><th scope="col" class="number">Kept</th><th scope="col">Measured</th></tr></thead>
    <tbody>${tenants.map(
      (tenant) => html`<tr key=${tenant.tenant}>
        <th scope="row" class="cited">${tenants.length > 1 ? html`<button aria-pressed=${tenant.tenant === chosen} onClick=${() => onChoose(tenant.tenant)}>${tenant.tenant}</button>` : tenant.tenant}${!tenant.complete && " +"}</th>
        ${SIZES.map(({ title, amount }) => html`<td key=${title} class="number">${amount(tenant)}</td>`)}
        <td class="number">${whole(tenant.threads)}</td><td class="number">${whole(tenant.items)}</td>
        <td class="number">${plural(tenant.retention_days, "day")}</td><td><${Moment} at=${tenant.as_of} /></td>
      </tr>`,
    )}</tbody>
  </table></div>`;
}

/** @param {{ tenant: string, own: string, measuredAt: number | null }} props */
function Threads({ tenant, own, measuredAt }) {
  const { value, error, reload } = useLoaded((signal) => largest(tenant, signal), [tenant, measuredAt]);
  if (error !== null) return html`<${Problem} error=${error} retry=${() => void reload()} />`;
  if (!value || value.length === 0) return null;
  const name = (/** @type {ThreadSizes} */ { thread_id: id }) => (tenant === own ? html`<a href=${linkTo(["threads", id])}>${id}</a>` : id);
  return html`<h3>Largest threads of ${tenant}</h3>
    <div class="scrolled" tabindex="0" role="group" aria-label="Table of the largest threads"><table>
      <thead><tr><th scope="col">Thread</th>${SIZES.map(({ title }) => html`<th key=${title} scope="col" class="number">${title}</th>`)}</tr></thead>
      <tbody>${value.map(
        (thread) => html`<tr key=${thread.thread_id}><th scope="row" class="cited">${name(thread)}</th>
          ${SIZES.map(({ title, amount }) => html`<td key=${title} class="number">${amount(thread)}</td>`)}</tr>`,
      )}</tbody>
    </table></div>`;
}

/** @param {string} tenant @param {AbortSignal} signal @returns {Promise<ThreadSizes[]>} */
async function largest(tenant, signal) {
  const { value } = await client.storage.threads({ tenant, limit: MOST_THREADS }, { signal }).pages().next();
  return value ?? [];
}

/** @param {{ engine: NonNullable<StorageReport["engine"]> }} props */
function Engine({ engine }) {
  return html`<h3>What the database uses up</h3>
    <div class="scrolled" tabindex="0" role="group" aria-label="Table of the database"><table>
      <thead><tr><th scope="col">Part</th><th scope="col" class="number">Size</th><th scope="col" class="number">Rows</th></tr></thead>
      <tbody>${engine.map(
        ({ name, bytes, rows }) => html`<tr key=${name}><th scope="row">${name}</th><td class="number">${size(bytes)}</td><td class="number">${rows === null ? "" : whole(rows)}</td></tr>`,
      )}</tbody>
    </table></div>`;
}

/** @param {{ settings: StorageReport["settings"] }} props */
function Settings({ settings }) {
  return html`<details><summary>Settings that decide how much is kept</summary>
    <dl>${settings.map(({ name, value, meaning }) => html`<div key=${name}><dt><code>${name}=${value}</code></dt><dd><small>${meaning}</small></dd></div>`)}</dl>
  </details>`;
}
