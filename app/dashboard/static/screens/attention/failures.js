/** Messages that failed for good, grouped by the kind of their failure. */

import { useSignal } from "@preact/signals";

import { useReloads } from "../../attention.js";
import { client } from "../../client.js";
import { Confirmation } from "../../components/dialog.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { plural, whole } from "../../format.js";
import { html } from "../../html.js";
import { useHold } from "../../live.js";
import { useLoaded } from "../../loading.js";
import { attempt } from "../../notes.js";
import { linkTo } from "../../router.js";
import { may } from "../../session.js";
import { Comparison } from "./comparison.js";

/** @typedef {import("agentq-client/operators").DeadLetterGroup} Group */
/** @typedef {import("agentq-client/operators").DeadLetter} DeadLetter */

const GROUPS = 50;

/** Dead letters that are looked through for the agents of the groups, the newest ones. */
const LOOKED = 200;

/** Most messages that the server changes by one request. */
const MOST = 1_000;

export function Failures() {
  const loaded = useLoaded(load, []);
  const { value, error, isStale, reload } = loaded;
  useReloads(() => void reload(), ["failed"]);
  return html`<section class="stack" aria-label="Failures">
    <h2>Failures</h2>
    ${error !== null && html`<${Problem} error=${error} retry=${reload} />`}
    ${!value && error === null && html`<p class="quiet" role="status">Loading…</p>`}
    ${value && html`<div class="stack ${isStale ? "stale" : ""}">
      ${value.groups.map((group) => html`<${FailureGroup} key=${group.fingerprint} group=${group} newest=${value.newest} onDone=${reload} />`)}
      ${value.groups.length === 0 && html`<p class="quiet">Nothing has failed for good.</p>`}
      ${value.groups.length === GROUPS && html`<p class="quiet">Older kinds of failures are not shown.</p>`}
    </div>`}
  </section>`;
}

/** @param {AbortSignal} signal */
async function load(signal) {
  const [groups, newest] = await Promise.all([
    client.deadLetters.groups({ limit: GROUPS }, { signal }),
    client.deadLetters.list({ limit: LOOKED }, { signal }).pages().next(),
  ]);
  return { groups, newest: newest.value ?? [] };
}

/** @typedef {"retry" | "delete"} Action */

/** @param {{ group: Group, newest: readonly DeadLetter[], onDone: () => Promise<void> }} props */
function FailureGroup({ group, newest, onDone }) {
  const { fingerprint, count, error, error_code: code } = group;
  const asked = useSignal(/** @type {{ action: Action, group: Group } | null} */ (null));
  const isOpen = useSignal(false);
  useHold(asked.value !== null);
  const among = newest.filter((each) => each.fingerprint === fingerprint);
  const agents = [...new Set(among.map(({ agent }) => agent))];
  const isAllowed = may("control");
  const some = Math.min(count, MOST);
  const ask = (/** @type {Action} */ action) => (asked.value = { action, group });
  return html`<article class="card stack">
    <header class="stack tight">
      <h3 class="fault">${error}</h3>
      <small>
        <code>${code}</code> · ${plural(count, "message")} · first <${Moment} at=${group.first_failed_at} />, last <${Moment} at=${group.last_failed_at} />
        ${agents.length > 0 && html`${" "}· ${agents.length === 1 ? "agent" : "agents"} ${agents.join(", ")}`}
      </small>
    </header>
    <div class="row">
      <button disabled=${!isAllowed} onClick=${() => ask("retry")}>Retry ${some < count ? `the newest ${whole(some)}` : whole(count)}</button>
      <button class="danger" disabled=${!isAllowed} onClick=${() => ask("delete")}>Delete ${whole(some)}</button>
      <button aria-expanded=${isOpen.value} onClick=${() => (isOpen.value = !isOpen.value)}>Compare with the last good one</button>
      <a class="button" href=${linkTo(["messages"], { state: "failed", fingerprint })}>Show the messages</a>
      ${!isAllowed && html`<small>To retry or delete needs the scope control.</small>`}
    </div>
    ${isOpen.value && html`<${Comparison} fingerprint=${fingerprint} />`}
    ${asked.value && html`<${Question} ...${asked.value} onClose=${() => (asked.value = null)} onDone=${onDone} />`}
  </article>`;
}

/**
 * Ask before the group is changed, as it was when its button was pressed.
 * @param {{ action: Action, group: Group, onClose: () => void, onDone: () => Promise<void> }} props
 */
function Question({ action, group, onClose, onDone }) {
  const number = plural(Math.min(group.count, MOST), "message");
  const [title, word] = action === "retry" ? [`Retry ${number}?`, "Retry them"] : [`Delete ${number}?`, "Delete them"];
  const confirmed = () => attempt(() => carryOut(action, group)).finally(onDone);
  return html`<${Confirmation} title=${title} word=${word} onConfirm=${confirmed} onClose=${onClose}>
    ${{
      retry: "Each goes to the end of its thread, with all attempts left. If the cause is still there, they fail again.",
      delete: "The messages and their logs are gone for good.",
    }[action]}
  </${Confirmation}>`;
}

/**
 * Retry or delete a group, or its newest messages if it has more than one request can change. Throws Conflict, and does
 * nothing, if the group has another number of messages by now.
 * @type {(action: Action, group: Group) => Promise<string>}
 */
async function carryOut(action, { fingerprint, count }) {
  const selection =
    count <= MOST ? { filter: { fingerprint }, expected_count: count } : { message_ids: await newestIds(fingerprint) };
  if (action === "retry") {
    const { requeued } = await client.deadLetters.requeue(selection);
    return `${plural(requeued.length, "message")} queued again.`;
  }
  const { purged } = await client.deadLetters.purge(selection);
  return `${plural(purged.length, "message")} deleted.`;
}

/** @param {string} fingerprint */
async function newestIds(fingerprint) {
  const { value } = await client.deadLetters.list({ fingerprint, limit: MOST }).pages().next();
  return (value ?? []).map(({ message_id: id }) => id);
}
