/** The problems of the server in words, with their cures. Callers without the scope `admin` see the health check. */

import { client } from "../../client.js";
import { Copy } from "../../components/copy.js";
import { Freshness } from "../../components/freshness.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { plural } from "../../format.js";
import { html } from "../../html.js";
import { useRefreshed } from "../../refreshing.js";
import { may } from "../../session.js";

/** @typedef {import("agentq-client/operators").Report["findings"][number]} Finding */
/** @typedef {import("agentq-client/operators").Change} Change */

/** An examination takes the server longer than other figures. It is made when something may have gone wrong. */
const PACE = { busyMs: 30_000, idleMs: 300_000, concerns };

const WORRYING = new Set(["message.failed", "message.lost", "message.retry"]);

/** @param {Change} change */
function concerns({ type }) {
  return !type.startsWith("message.") || WORRYING.has(type);
}

export function Problems() {
  const isFull = may("admin");
  const { value, error, isStale, loadedAt, reload } = useRefreshed(isFull ? examine : look, [isFull], PACE);
  const again = () => void reload();
  return html`<section class="card" aria-label="Problems">
    <div class="row"><h2>Problems</h2>
      ${loadedAt !== null && html`<small>looked <${Moment} at=${new Date(loadedAt).toISOString()} /></small>`}
      <button class="plain" onClick=${again}>Look again</button>
    </div>
    ${error !== null && html`<${Problem} error=${error} retry=${again} />`}
    ${error === null && html`<${Freshness} ...${{ isStale, loadedAt }} />`}
    ${value &&
    html`<div class=${isStale ? "stale" : ""}>
      ${value.findings.length === 0 && html`<p class="badge" data-kind="good">${value.none}</p>`}
      <ul class="findings">${value.findings.map((each) => html`<${Shown} key=${each.code + each.detail} ...${each} />`)}</ul>
      ${value.notes.map((note) => html`<p key=${note}><small>${note}</small></p>`)}
    </div>`}
  </section>`;
}

/** @typedef {{ findings: Pick<Finding, "code" | "severity" | "title" | "detail" | "cure">[], none: string, notes: string[] }} Found */

/** @param {AbortSignal} signal @returns {Promise<Found>} */
export async function examine(signal) {
  const { findings, checks, unchecked } = await client.server.doctor({ signal });
  const notes = unchecked.map(({ check, reason }) => `Not looked at: ${check}. ${reason}`);
  return { findings, none: `None. ${plural(checks, "check")} found nothing wrong.`, notes };
}

/** @param {AbortSignal} signal @returns {Promise<Found>} */
async function look(signal) {
  const { status, checks } = await client.server.health({ signal });
  const findings = Object.entries(checks)
    .filter(([, { ok }]) => !ok)
    .map(([name, { detail }]) => ({
      code: /** @type {Finding["code"]} */ (name),
      severity: /** @type {const} */ ("error"),
      title: `The ${name} cannot be used`,
      detail,
      cure: "",
    }));
  return { findings, none: `The server is ${status}.`, notes: ["Callers with the scope admin see all checks, with their cures."] };
}

/** @type {Record<Finding["severity"], { kind: string, word: string, shape: string }>} */
const SEVERITIES = {
  error: { kind: "bad", word: "error", shape: "M3 3l10 10M13 3L3 13" },
  warning: { kind: "warning", word: "warning", shape: "M8 2L1.5 14h13zM8 6v4M8 11.5v1.5" },
  note: { kind: "quiet", word: "note", shape: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 7v5M8 4v1.5" },
};

/** A finding. Its cure is a command to copy. @param {Found["findings"][number]} props */
export function Shown({ severity, title, detail, cure }) {
  const { kind, word, shape } = SEVERITIES[severity];
  return html`<li>
    <p><span class="badge" data-kind=${kind}><svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true"><path d=${shape} /></svg>${word}</span>
      <strong> ${title}</strong></p>
    <p class="cited">${detail}</p>
    ${cure && html`<div class="row"><small>Cure</small><${Copy} text=${() => cure} /></div><pre>${cure}</pre>`}
  </li>`;
}
