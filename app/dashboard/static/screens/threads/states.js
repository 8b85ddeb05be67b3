/** The states that an agent keeps of a thread: one as a tree, or what changed between two. */

import { useEffect } from "preact/hooks";

import { client } from "../../client.js";
import { Copy } from "../../components/copy.js";
import { Empty } from "../../components/empty.js";
import { JsonTree } from "../../components/json-tree.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { html } from "../../html.js";
import { changesOf } from "../../json-changes.js";
import { useLoaded } from "../../loading.js";
import { attempt } from "../../notes.js";
import { usePages } from "../../paging.js";
import { go, linkTo } from "../../router.js";
import { may } from "../../session.js";

/** @typedef {import("agentq-client").Schemas["ThreadState"]} State */

/** @param {{ threadId: string, query: URLSearchParams, version: string }} props  `version` changes with the thread */
export function States({ threadId, query, version }) {
  const list = usePages((signal) => client.threads.history(threadId, { limit: 20 }, { signal }), [threadId]);
  useEffect(() => {
    if (list.rows.length > 0) void list.reload();
  }, [version]);
  const { rows, error, isLoading, isComplete } = list;
  const shown = query.get("state") ?? (rows[0] ? idOf(rows[0]) : null);
  const against = query.get("against");
  /** @param {Record<string, string | null>} changes */
  const choose = (changes) => go(["threads", threadId], { view: "states", state: shown, against, ...changes }, { replace: true });
  if (error !== null && rows.length === 0) return html`<${Problem} error=${error} retry=${list.reload} />`;
  if (rows.length === 0) {
    return isLoading
      ? html`<p class="quiet" role="status">Loading…</p>`
      : html`<${Empty} title="No states are kept">The agent keeps none, or no message of the thread has begun.</${Empty}>`;
  }
  return html`<div class="states">
    <div class="stack">
      ${error !== null && html`<${Problem} error=${error} retry=${list.reload} />`}
      <div class="scrolls" tabindex="0" role="region" aria-label="States"><table><thead><tr><th>Show</th><th>Compare</th><th>Step</th><th>Comes next</th><th>Time</th></tr></thead><tbody>
        ${rows.map((state) => html`<${Row} key=${idOf(state)} state=${state} shown=${shown} against=${against} choose=${choose} />`)}
      </tbody></table></div>
      <div class="row">
        ${!isComplete && html`<button disabled=${isLoading} onClick=${list.more}>Show older states</button>`}
        ${against && html`<button onClick=${() => choose({ against: null })}>Compare with none</button>`}
      </div>
    </div>
    ${shown && html`<${Shown} threadId=${threadId} id=${shown} against=${against} rows=${rows} />`}
  </div>`;
}

/** @param {State} state */
function idOf(state) {
  return state.checkpoint?.checkpoint_id ?? "";
}

/** @param {{ state: State, shown: string | null, against: string | null, choose: (changes: Record<string, string>) => void }} props */
function Row({ state, shown, against, choose }) {
  const id = idOf(state);
  const step = String(state.metadata.step ?? "");
  return html`<tr aria-selected=${id === shown}>
    <td><input type="radio" name="shown" aria-label="Show step ${step}" checked=${id === shown} onChange=${() => choose({ state: id })} /></td>
    <td><input type="radio" name="against" aria-label="Compare with step ${step}" checked=${id === against} onChange=${() => choose({ against: id })} /></td>
    <td class="number">${step}</td>
    <td>${state.next.join(", ") || html`<span class="quiet">end</span>`}</td>
    <td><${Moment} at=${state.created_at} /></td>
  </tr>`;
}

/** @param {{ threadId: string, id: string, against: string | null, rows: readonly State[] }} props */
function Shown({ threadId, id, against, rows }) {
  /** @param {string} wanted @param {AbortSignal} signal */
  const load = async (wanted, signal) =>
    rows.find((each) => idOf(each) === wanted) ?? client.threads.state(threadId, { checkpoint_id: wanted }, { signal });
  const { value, error, reload } = useLoaded(
    async (signal) => ({ state: await load(id, signal), other: against === null ? null : await load(against, signal) }),
    [id, against],
  );
  const fork = () =>
    attempt(async () => {
      const { thread_id: made } = await client.threads.fork(threadId, { checkpoint_id: id });
      go(["play", made]);
      return "A new thread begins with this state.";
    });
  if (error !== null) return html`<${Problem} error=${error} retry=${reload} />`;
  if (!value) return html`<p class="quiet" role="status">Loading…</p>`;
  const { state, other } = value;
  const isOff = !may("control");
  return html`<section class="card stack state" aria-label="State">
    <div class="row"><h2>${other ? "What changed" : "State"}</h2>
      ${state.message_id && html`<small>after the message <a href=${linkTo(["message", state.message_id])}>${state.message_id}</a></small>`}
      <span class="row actions"><${Copy} label="Copy as JSON" text=${() => JSON.stringify(state.values, null, 2)} />
        <button disabled=${isOff} title=${isOff ? "Needs the scope control" : null} onClick=${fork}>Fork from here</button></span>
    </div>
    ${state.tasks.filter((task) => task.error).map((task) => html`<p class="problem">${task.name}: ${task.error}</p>`)}
    ${other ? html`<${Changes} before=${other.values} after=${state.values} />` : html`<${JsonTree} value=${state.values} />`}
  </section>`;
}

/** @param {{ before: unknown, after: unknown }} props */
function Changes({ before, after }) {
  const changes = changesOf(before, after);
  if (changes.length === 0) return html`<p class="quiet">Both states have the same values.</p>`;
  return html`<ul class="changes">
    ${changes.map(
      (change) => html`<li data-kind=${change.kind}><p><strong>${change.kind}</strong> <code><bdi>${change.path}</bdi></code></p>
        ${change.kind !== "added" && html`<div class="before"><small>before</small><${JsonTree} value=${change.before} /></div>`}
        ${change.kind !== "removed" && html`<div class="after"><small>after</small><${JsonTree} value=${change.after} /></div>`}
      </li>`,
    )}
  </ul>`;
}
