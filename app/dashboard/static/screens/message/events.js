/** The events of a message as a list: filtered by kind, each with its time and all that it has. */

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { Table } from "../../components/table.js";
import { absolute, short, span, whole } from "../../format.js";
import { isHidden } from "../../hiding.js";
import { html } from "../../html.js";
import { go } from "../../router.js";
import { isPlain, kindOf, wordsOfEvent } from "./event-words.js";

/** @typedef {import("agentq-client").StreamEvent} StreamEvent */
/** @typedef {import("./log.js").MessageLog} MessageLog */

/** An event with its place, its time, and the milliseconds since the event before. @typedef {{ place: number, event: StreamEvent, time: number, gap: number }} Row */

const LONGEST = 100_000;

const NARROW = matchMedia("(max-width: 600px)");

/** Return the columns of a table whose rows are places of events. @param {MessageLog} log @param {boolean} areHidden  whether texts are */
function columnsOf(log, areHidden) {
  /** @type {(title: string, width: string, cell: (row: Row) => import("preact").ComponentChildren, isNumber?: boolean) => import("../../components/table.js").Column<number>} */
  const column = (title, width, cell, isNumber = false) => ({ title, width, isNumber, cell: (place) => cell(rowOf(log, place)) });
  return [
    column("Id", "4rem", ({ event }) => whole(event.id), true),
    column("Kind", "6.5rem", ({ event }) => kindOf(event)),
    // A narrow window has no room for it; the chosen event tells its time.
    ...(NARROW.matches ? [] : [column("After", "5.75rem", ({ time, gap }) => html`<span title=${absolute(new Date(time).toISOString())}>+${span(gap / 1000)}</span>`, true)]),
    column("What", "minmax(4rem, 1fr)", ({ event }) => (areHidden && !isPlain(event) ? html`<small>hidden</small>` : wordsOfEvent(event))),
  ];
}

/** @param {MessageLog} log @param {number} place @returns {Row} */
function rowOf({ events, times }, place) {
  const time = times[place] ?? 0;
  return { place, event: /** @type {StreamEvent} */ (events[place]), time, gap: Math.max(0, time - (times[place - 1] ?? time)) };
}

/**
 * @param {{ messageId: string, query: URLSearchParams, log: MessageLog,
 *   at: import("@preact/signals").Signal<number | null> }} props
 */
export function Events({ messageId, query, log, at }) {
  void log.slowVersion.value;
  const kind = query.get("kind") ?? "";
  const chosen = useSignal(-1);
  const places = useMemo(() => new Places(log.events), [log.events]).grow();
  const rows = kind === "" ? places.all : (places.byKind.get(kind) ?? []);
  const areHidden = isHidden("message", messageId);
  const columns = useMemo(() => columnsOf(log, areHidden), [log, areHidden]);
  const place = rows[chosen.value];
  const row = place === undefined ? null : rowOf(log, place);
  /** Show an event, and the answer as it was after it. @param {number} to */
  const choose = (to) => {
    chosen.value = Math.max(0, Math.min(rows.length - 1, to));
    const each = rows[chosen.value];
    if (each !== undefined) at.value = each + 1 >= log.events.length ? null : each + 1;
  };
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(chosen.value + step);
  };
  /** @param {any} event */
  const filtered = (event) => {
    chosen.value = -1;
    go(["message", messageId], { kind: event.currentTarget.value }, { replace: true });
  };
  return html`<section class="card stack events-card" aria-label="Events">
    <div class="row spread"><h2>Events</h2>
      <label class="row">Kind <select onChange=${filtered}>
        <option value="" selected=${kind === ""}>all, ${short(log.events.length)}</option>
        ${[...places.byKind].map(([name, { length }]) => html`<option key=${name} value=${name} selected=${name === kind}>${name}, ${short(length)}</option>`)}
        ${kind !== "" && !places.byKind.has(kind) && html`<option value=${kind} selected>${kind}, 0</option>`}
      </select></label>
    </div>
    ${rows.length > 0
      ? html`<div onKeyDown=${pressed}><${Table} label="Events" rows=${rows} columns=${columns} keyOf=${String} selected=${chosen.value} onSelect=${choose} /></div>`
      : html`<p class="quiet">${log.status.value === "loading" ? "Loading…" : kind ? "No event is of this kind." : "There are no events yet."}</p>`}
    ${row && html`<div class="stack" role="status"><small>${kindOf(row.event)}${row.event.id !== null && `, event ${row.event.id}`}, ${absolute(new Date(row.time).toISOString())}</small>
      ${!(areHidden && !isPlain(row.event)) && html`<pre class="scrolls" tabindex="0" aria-label="Data of the event">${JSON.stringify(row.event.data, null, 2).slice(0, LONGEST)}</pre>`}</div>`}
  </section>`;
}

/** The places of the events by kind. Each event is looked at once, since there may be many and more may come. */
class Places {
  /** @param {readonly StreamEvent[]} events */
  constructor(events) {
    this.events = events;
    /** @type {number[]} */
    this.all = [];
    /** @type {Map<string, number[]>} */
    this.byKind = new Map();
  }

  /** Look at the events that came since the last call. */
  grow() {
    for (let place = this.all.length; place < this.events.length; place++) {
      const kind = kindOf(/** @type {StreamEvent} */ (this.events[place]));
      this.all.push(place);
      const same = this.byKind.get(kind);
      if (same) same.push(place);
      else this.byKind.set(kind, [place]);
    }
    return this;
  }
}
