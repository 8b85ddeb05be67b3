/** All messages: filters that live in the address, rows that stay up to date, and actions on many at once. */

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { client } from "../client.js";
import { Empty } from "../components/empty.js";
import { Moment } from "../components/moment.js";
import { Problem } from "../components/problem.js";
import { StateBadge } from "../components/state-badge.js";
import { Table } from "../components/table.js";
import { money, short, span, UNKNOWN } from "../format.js";
import { listed } from "../hiding.js";
import { html } from "../html.js";
import { useShortcuts } from "../keyboard.js";
import { useLiveList } from "../live-list.js";
import { useChanges } from "../live.js";
import { usePages } from "../paging.js";
import { go, linkTo } from "../router.js";
import { useRowKeys } from "../row-keys.js";
import { Filters } from "./messages/filters.js";
import { Matching } from "./messages/matching.js";
import { queryOf } from "./messages/query.js";
import { Selection } from "./messages/selection.js";
import { Views } from "./messages/views.js";

/** @typedef {import("agentq-client").Message} Message */

/** @param {import("../screens.js").ScreenProps} props */
export default function Messages({ query }) {
  const wanted = queryOf(query);
  const list = usePages((signal) => client.messages(wanted, { signal }), [query.toString()]);
  const chosen = useSignal(/** @type {ReadonlySet<string>} */ (new Set()));
  const { onPlace, isBehind } = useLive(list);

  /** @param {Message} message */
  const open = (message) => go(["message", message.message_id]);
  const { at, select, withRow } = useRowKeys(list.rows, { open, label: "Open the message", keyOf: idOf });
  useShortcuts([
    { keys: "x", label: "Select the row", run: () => withRow(toggle) },
    { keys: "/", label: "Filter", run: () => document.getElementById("filter")?.focus() },
  ]);
  /** @param {Message} message */
  const toggle = ({ message_id: id }) => {
    const next = new Set(chosen.value);
    if (!next.delete(id)) next.add(id);
    chosen.value = next;
  };
  const shownColumns = useMemo(() => columns(chosen.value, toggle), [chosen.value]);

  return html`
    <div class="heading"><h1>Messages</h1></div>
    <div class="stack">
      <${Filters} query=${query} />
      <${Views} query=${query} />
      <${Matching} query=${query} onDone=${list.reload} />
      ${list.error !== null && html`<${Problem} error=${list.error} retry=${list.reload} />`}
      <${Selection} query=${query} rows=${list.rows} chosen=${chosen} onDone=${list.reload} />
      ${list.rows.length > 0
        ? html`<${Table}
            label="Messages" rows=${list.rows} columns=${shownColumns} keyOf=${idOf} selected=${at}
            onSelect=${select} onOpen=${open} onEnd=${list.more} onPlace=${onPlace} isBehind=${isBehind}
          />`
        : list.isLoading
          ? html`<p class="quiet" role="status">Loading…</p>`
          : list.error === null && html`<${Nothing} isFiltered=${query.size > 0} />`}
    </div>
  `;
}

/** @param {{ isFiltered: boolean }} props */
function Nothing({ isFiltered }) {
  if (isFiltered) {
    return html`<${Empty} title="No message matches"><a href=${linkTo(["messages"])}>Show all messages</a></${Empty}>`;
  }
  return html`<${Empty} title="No messages yet" command='agentq submit "Hello" --follow'><a href=${linkTo(["play"])}>Send one in Play</a>, or from a terminal:</${Empty}>`;
}

/** @param {Message} message */
function idOf({ message_id: id }) {
  return id;
}

/**
 * Change the rows of a list as their messages change, and load its first page again when there are new ones.
 * @param {import("../paging.js").Paged<Message>} list
 */
function useLive(list) {
  const { reloadSoon, ...shown } = useLiveList(list);
  useChanges(({ changes, isReset }) => {
    const newest = new Map(changes.flatMap((each) => (each.type !== "reset" && each.message_id ? [[each.message_id, each]] : [])));
    if (newest.size === 0 && !isReset) return;
    list.patch((row) => {
      const change = newest.get(row.message_id);
      return change?.state ? { ...row, state: change.state, priority: change.priority ?? row.priority } : row;
    });
    reloadSoon();
  });
  return shown;
}

/** @type {(chosen: ReadonlySet<string>, toggle: (message: Message) => void) => import("../components/table.js").Column<Message>[]} */
function columns(chosen, toggle) {
  return [
    {
      title: "",
      width: "2.2rem",
      isShort: true,
      cell: (message) => html`<input
        type="checkbox" aria-label="Select ${listed(message.user_message, message.message_id)}" checked=${chosen.has(message.message_id)}
        onClick=${(/** @type {Event} */ event) => event.stopPropagation()} onChange=${() => toggle(message)}
      />`,
    },
    { title: "State", width: "7.2rem", isShort: true, cell: ({ state }) => html`<${StateBadge} state=${state} />` },
    { title: "Priority", width: "5rem", from: 560, isShort: true, cell: ({ priority }) => priority },
    {
      title: "Message",
      width: "minmax(4rem, 3fr)",
      cell: (message) => html`<a href=${linkTo(["message", message.message_id])}>${listed(message.user_message, message.message_id)}</a>`,
    },
    { title: "Agent", width: "minmax(5rem, 1fr)", from: 640, cell: ({ agent }) => agent },
    {
      title: "Thread",
      width: "minmax(5rem, 1fr)",
      from: 820,
      cell: ({ thread_id: id }) => (id === null ? UNKNOWN : html`<a href=${linkTo(["threads", id])}>${id}</a>`),
    },
    { title: "Wait", width: "5.5rem", from: 1000, isNumber: true, cell: (each) => span(between(each.created_at, each.started_at)) },
    { title: "Run", width: "5.5rem", from: 720, isNumber: true, cell: (each) => span(between(each.started_at, each.completed_at)) },
    { title: "Tokens", width: "5rem", from: 1080, isNumber: true, cell: ({ usage }) => short(usage?.total_tokens) },
    { title: "Cost", width: "5rem", from: 1080, isNumber: true, cell: ({ usage }) => money(usage?.cost) },
    { title: "Age", width: "5.5rem", from: 420, isNumber: true, cell: (each) => html`<${Moment} at=${each.created_at} />` },
  ];
}

/** Return the seconds from one time to another; null if one is not known. @type {(from: string | null, to: string | null) => number | null} */
function between(from, to) {
  return from === null || to === null ? null : (Date.parse(to) - Date.parse(from)) / 1000;
}
