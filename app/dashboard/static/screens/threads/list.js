/** The list of threads, with filters that live in the address. */

import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { client } from "../../client.js";
import { Empty } from "../../components/empty.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { Table } from "../../components/table.js";
import { whole } from "../../format.js";
import { isHiding, listed } from "../../hiding.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { useLiveList } from "../../live-list.js";
import { useChanges, useHold } from "../../live.js";
import { usePages } from "../../paging.js";
import { go, linkTo } from "../../router.js";
import { useRowKeys } from "../../row-keys.js";
import { may } from "../../session.js";
import { Deletion } from "./deletion.js";
import { ThreadBadge } from "./thread-badge.js";

/** @typedef {import("agentq-client").ThreadSummary} Summary */

const STATUSES = { "": "All", busy: "Busy", interrupted: "Asking", error: "Failed last", idle: "Idle" };

/** @param {{ query: URLSearchParams }} props */
export function ThreadList({ query }) {
  const list = usePages((signal) => client.threads.list(queryOf(query), { signal }), [query.toString()]);
  const asked = useSignal(/** @type {Summary | null} */ (null));
  const isSearching = list.rows.length === 0 && !list.isComplete && list.error === null;
  useHold(asked.value !== null);
  useEffect(() => {
    if (isSearching && !list.isLoading) void list.more(); // a page of a search may be empty without being the last
  });
  const { onPlace, isBehind } = useLive(list);
  /** @param {Summary} thread */
  const open = (thread) => go(["threads", thread.thread_id]);
  const { at, select, withRow } = useRowKeys(list.rows, { open, label: "Open the thread", keyOf: idOf });
  useShortcuts([
    { keys: "d", label: "Delete the thread", run: () => may("control") && withRow((row) => (asked.value = row)) },
    { keys: "/", label: "Search", run: () => document.getElementById("search")?.focus() },
  ]);
  const shownColumns = useMemo(() => columns((row) => (asked.value = row)), [may("control")]);
  return html`
    <div class="heading"><h1>Threads</h1></div>
    <div class="stack">
      <${Filters} query=${query} />
      ${list.error !== null && html`<${Problem} error=${list.error} retry=${list.reload} />`}
      ${list.rows.length > 0
        ? html`<${Table} label="Threads" rows=${list.rows} columns=${shownColumns} keyOf=${idOf}
            selected=${at} onSelect=${select} onOpen=${open} onEnd=${list.more} onPlace=${onPlace} isBehind=${isBehind} />`
        : isSearching
          ? html`<p class="quiet" role="status">Loading…</p>`
          : list.error === null && html`<${Nothing} isFiltered=${query.size > 0} />`}
    </div>
    ${asked.value && html`<${Deletion} thread=${asked.value} onDone=${list.reload} onClose=${() => (asked.value = null)} />`}
  `;
}

/** @param {Summary} thread */
function idOf({ thread_id: id }) {
  return id;
}

/** @param {{ isFiltered: boolean }} props */
function Nothing({ isFiltered }) {
  if (isFiltered) return html`<${Empty} title="No thread matches"><a href=${linkTo(["threads"])}>Show all threads</a></${Empty}>`;
  return html`<${Empty} title="No threads yet">A conversation begins one: <a href=${linkTo(["play"])}>go to Play</a>.</${Empty}>`;
}

/** @param {URLSearchParams} query @returns {import("agentq-client").ThreadQuery} */
function queryOf(query) {
  const metadata = Object.fromEntries([...query].flatMap(([name, value]) => (name.startsWith("metadata.") ? [[name.slice(9), value]] : [])));
  const q = query.get("q");
  const status = /** @type {any} */ (query.get("status"));
  return { limit: 100, ...(status && { status }), ...(q && { q }), ...(Object.keys(metadata).length > 0 && { metadata }) };
}

/** @param {{ query: URLSearchParams }} props */
function Filters({ query }) {
  const given = Object.fromEntries(query);
  /** @param {SubmitEvent & { currentTarget: HTMLFormElement }} event */
  const searched = (event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (event.currentTarget.elements.namedItem("search"));
    const [, name, value] = /^\s*([^=\s]+)\s*=\s*(.+?)\s*$/.exec(field.value) ?? [];
    if (name) go(["threads"], { ...given, [`metadata.${name}`]: value });
    else if (field.value.trim()) go(["threads"], { ...given, q: field.value.trim() });
    field.value = "";
  };
  return html`<div class="stack">
    <nav class="tabs" aria-label="Status"><ul>
      ${Object.entries(STATUSES).map(
        ([status, word]) => html`<li><a href=${linkTo(["threads"], { ...given, status })} aria-current=${(query.get("status") ?? "") === status ? "true" : null}>${word}</a></li>`,
      )}
    </ul></nav>
    <form class="row" onSubmit=${searched}>
      ${[...query].filter(([name]) => name !== "status").map(
        ([name, value]) => html`<a class="button filter" href=${linkTo(["threads"], { ...given, [name]: null })} title="Remove this filter">
          ${name === "q" ? value : `${name.replace("metadata.", "")}=${value}`} <span aria-hidden="true">✕</span><span class="only-read">, remove</span></a>`,
      )}
      <input id="search" name="search" aria-label="Search" placeholder="A part of an id, name or metadata, or user=u_12" autocomplete="off" />
    </form>
  </div>`;
}

/** Load the list again some time after a change. @param {import("../../paging.js").Paged<Summary>} list */
function useLive(list) {
  const { reloadSoon, ...shown } = useLiveList(list);
  useChanges(({ changes, isReset }) => {
    if (isReset || changes.some((change) => change.type !== "reset" && change.thread_id)) reloadSoon();
  });
  return shown;
}

/** @param {(row: Summary) => void} remove @returns {import("../../components/table.js").Column<Summary>[]} */
function columns(remove) {
  const isOff = !may("control");
  return [
    { title: "Thread", width: "minmax(6rem, 1.5fr)", cell: (row) => html`<a href=${linkTo(["threads", row.thread_id])}><bdi>${listed(row.name ?? "", row.thread_id)}</bdi></a>` },
    { title: "Status", width: "7.5rem", isShort: true, cell: ({ status }) => html`<${ThreadBadge} status=${status} />` },
    { title: "Last message", width: "minmax(10rem, 3fr)", from: 560, cell: ({ last_message_preview: text }) => (isHiding.value ? html`<small>hidden</small>` : html`<bdi>${text}</bdi>`) },
    { title: "Messages", width: "6.5rem", from: 720, isNumber: true, cell: ({ message_count: count }) => whole(count) },
    { title: "Activity", width: "6rem", isNumber: true, cell: (row) => html`<${Moment} at=${row.last_activity} />` },
    {
      title: "",
      width: "6.5rem",
      from: 480, // on phones, the thread itself has it
      cell: (row) => html`<button class="plain" disabled=${isOff} title=${isOff ? "Needs the scope control" : null}
        aria-label="Delete ${listed(row.name ?? "", row.thread_id)}" onClick=${() => remove(row)}>Delete</button>`,
    },
  ];
}
