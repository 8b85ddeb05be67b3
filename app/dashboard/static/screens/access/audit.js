/** The audit log: what operators and callers changed, with filters that live in the address. */

import { client } from "../../client.js";
import { Empty } from "../../components/empty.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { whole } from "../../format.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { usePages } from "../../paging.js";
import { go, linkTo } from "../../router.js";

/** @typedef {import("agentq-client/operators").AuditRecord} AuditRecord */

const PLACE = ["access", "audit"];

/** The filters by their names in the API. */
const FILTERS = [
  { name: "action", label: "Action", hint: "such as message.cancel" },
  { name: "actor", label: "Actor", hint: "such as key:ID or local" },
  { name: "tenant", label: "Tenant", hint: "" },
  { name: "target", label: "Target", hint: "an id" },
  { name: "since", label: "From", hint: "" },
  { name: "until", label: "Before", hint: "" },
];

/** Actions of this version. A later server may know more, so that others can be typed. */
const ACTIONS = (
  "key.create key.rotate key.revoke tokens.end session.end queue.pause queue.resume worker.drain worker.resume message.cancel message.change message.answer " +
  "message.requeue message.purge thread.change thread.delete thread.fork thread.state item.put item.delete delivery.replay"
).split(" ");

const SHOWN_TARGETS = 3;
const PAGE = 100;

/** @param {{ query: URLSearchParams }} props */
export function AuditLog({ query }) {
  const list = usePages((signal) => client.audit.list(wanted(query), { signal }), [query.toString()]);
  useShortcuts([{ keys: "/", label: "Filter the audit log", run: () => document.getElementById("audit-action")?.focus() }]);
  return html`
    <${Filters} key=${query.toString()} query=${query} />
    ${list.error !== null && html`<${Problem} error=${list.error} retry=${list.reload} />`}
    ${list.rows.length > 0
      ? html`<${Records} rows=${list.rows} />`
      : list.isLoading
        ? html`<p class="quiet" role="status">Loading…</p>`
        : list.error === null &&
          html`<${Empty} title=${query.size > 0 ? "No change matches" : "Nothing was changed yet"}>
            ${query.size > 0 ? html`<a href=${linkTo(PLACE)}>Show all changes</a>` : "Each change by an operator or a caller is recorded here. Submits and reads are not."}
          </${Empty}>`}
    ${!list.isComplete && list.rows.length >= PAGE && html`<div class="row"><button onClick=${list.more} disabled=${list.isLoading}>Show older changes</button></div>`}
  `;
}

/** @param {URLSearchParams} query @returns {import("agentq-client/operators").AuditQuery} */
function wanted(query) {
  return /** @type {any} */ ({ ...Object.fromEntries(FILTERS.flatMap(({ name }) => valueOf(name, query.get(name)))), limit: PAGE });
}

/** Days of the address are days of the person, which begin at their midnight. @type {(name: string, value: string | null) => [string, string | Date][]} */
function valueOf(name, value) {
  if (!value) return [];
  const isDay = (name === "since" || name === "until") && /^\d{4}-\d\d-\d\d$/.test(value);
  return [[name, isDay ? new Date(`${value}T00:00`) : value]];
}

/** @param {{ query: URLSearchParams }} props */
function Filters({ query }) {
  /** @param {SubmitEvent & { currentTarget: HTMLFormElement }} event */
  const submitted = (event) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    go(PLACE, Object.fromEntries(FILTERS.map(({ name }) => [name, String(given.get(name) ?? "").trim()])));
  };
  return html`<form class="row audit" onSubmit=${submitted} role="search" aria-label="Filter the audit log">
    ${FILTERS.map(
      ({ name, label, hint }) => html`<div class="field" key=${name}>
        <label for="audit-${name}">${label}</label>
        <input id="audit-${name}" name=${name} defaultValue=${query.get(name) ?? ""} placeholder=${hint} autocomplete="off"
          type=${name === "since" || name === "until" ? "date" : "text"} list=${name === "action" ? "actions" : null} />
      </div>`,
    )}
    <datalist id="actions">${ACTIONS.map((each) => html`<option value=${each} />`)}</datalist>
    <button>Filter</button>
    ${query.size > 0 && html`<a class="button" href=${linkTo(PLACE)}>Show all</a>`}
  </form>`;
}

/** @param {{ rows: readonly AuditRecord[] }} props */
function Records({ rows }) {
  return html`<div class="wide" tabindex="0" role="region" aria-label="Audit log"><table>
    <thead><tr><th>When</th><th>Who</th><th>Action</th><th>Tenant</th><th>What</th><th>Details</th><th>From</th></tr></thead>
    <tbody>
      ${rows.map(
        (row) => html`<tr key=${row.number}>
          <td><${Moment} at=${row.at} /></td>
          <td class="name"><a href=${linkTo(PLACE, { actor: row.actor })}>${row.actor}</a></td>
          <td><a href=${linkTo(PLACE, { action: row.action })}>${row.action}</a></td>
          <td>${row.tenant ?? "all"}</td>
          <td class="name"><${Targets} row=${row} /></td>
          <td class="name"><small>${Object.entries(row.details).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ")}</small></td>
          <td>${row.address ?? "this host"}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

/** @param {{ row: AuditRecord }} props */
function Targets({ row: { action, targets, affected } }) {
  const screen = action.startsWith("message.") ? "message" : action.startsWith("thread.") ? "threads" : null;
  const shown = targets.slice(0, SHOWN_TARGETS);
  return html`${shown.map(
    (id, at) => html`${at > 0 && ", "}${screen === null ? html`<code>${id}</code>` : html`<a href=${linkTo([screen, id])}>${id}</a>`}`,
  )}${affected > shown.length && ` and ${whole(affected - shown.length)} more`}`;
}
