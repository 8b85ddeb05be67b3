/** The life of a message on one time axis, from its acceptance to its end. */

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { client } from "../../client.js";
import { now } from "../../components/moment.js";
import { span as spanText } from "../../format.js";
import { isHidden } from "../../hiding.js";
import { html } from "../../html.js";
import { useLoaded } from "../../loading.js";
import { GrowingSpans, wordsOfSpan } from "./spans.js";

/** @typedef {import("./spans.js").Span} Span */

/** @type {readonly [import("./spans.js").Lane, string][]} */
const LANES = [
  ["wait", "Waits"],
  ["attempt", "Attempts"],
  ["node", "Nodes"],
  ["model", "Model calls"],
  ["tool", "Tool calls"],
];

const ROW = 24;
const MOST_ROWS = 5;
const MOST_SPANS = 300;
const TICKS = 4;

/** The least width of a bar, as a percentage of the axis. */
const THINNEST = 0.4;

/** @type {Record<import("./spans.js").Kind, string>} */
const MARKS = { good: "", bad: "✕ ", running: "▸ ", asking: "? ", quiet: "" };

/** @param {{ message: import("agentq-client").MessageDetails, log: import("./log.js").MessageLog }} props */
export function TimeAxis({ message, log }) {
  void log.slowVersion.value;
  const reason = useFirstReason(message);
  const growing = useMemo(() => new GrowingSpans(message, reason), [message, reason, log.events, log.corrections]);
  const areHidden = isHidden("message", message.message_id);
  const all = growing.after(log.events, log.times);
  const spans = areHidden ? all.map((each) => (each.lane === "tool" ? { ...each, detail: "" } : each)) : all;
  const chosen = useSignal(0);
  const view = useSignal(/** @type {{ from: number, to: number } | null} */ (null));
  const isOpen = spans.some(({ to }) => to === null);
  const present = isOpen ? Math.max(now.value, ...log.times.slice(-1)) : Math.max(...spans.map(({ from, to }) => to ?? from));
  const whole = { from: Date.parse(message.created_at), to: present };
  const seen = view.value ?? whole;
  const shown = spans.slice(0, MOST_SPANS);
  const at = Math.min(chosen.value, shown.length - 1);
  const span = shown[at];
  /** @param {number} to */
  const choose = (to) => {
    chosen.value = Math.max(0, Math.min(shown.length - 1, to));
    document.getElementById(`span-${chosen.value}`)?.focus();
  };
  const zoom = () => {
    const each = shown[chosen.value];
    if (!each) return;
    const end = each.to ?? present;
    const margin = Math.max(1, (end - each.from) * 0.03);
    view.value = { from: each.from - margin, to: end + margin };
  };
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 };
    const to = /** @type {Record<string, number>} */ (steps)[event.key];
    if (to !== undefined) choose(to);
    else if (event.key === "Enter") zoom();
    else if (event.key === "Escape") view.value = null;
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<section class="card axis" aria-label="Time axis">
    <div class="row spread"><h2>Time</h2>
      <span class="row">
        <small class="number">${spanText((whole.to - whole.from) / 1000)} since it was accepted</small>
        ${view.value && html`<button onClick=${() => (view.value = null)}>Show all</button>`}
      </span>
    </div>
    <div onKeyDown=${pressed} class="lanes">
      ${LANES.map(([lane, title]) => html`<${LaneRow} key=${lane} ...${{ lane, title, spans: shown, at, seen, present }} onChoose=${(/** @type {number} */ to) => (chosen.value = to)} />`)}
      <${Ticks} start=${whole.from} seen=${seen} />
    </div>
    ${span && html`<p class="chosen row" role="status"><span>${wordsOfSpan(span, present)}</span> <button onClick=${zoom}>Zoom</button></p>`}
    ${spans.length > MOST_SPANS && html`<p class="quiet">The first ${MOST_SPANS} of ${spans.length} are drawn. The events have all.</p>`}
    <details><summary><small>As a table</small></summary><${Rows} spans=${shown} start=${whole.from} present=${present} /></details>
  </section>`;
}

/** How far back in a thread a message is looked for that this one waited for. */
const THREAD_LIMIT = 50;

/**
 * Return why a message waited before its first attempt: the server tells it while it waits, and afterwards the thread does.
 * @param {import("agentq-client").MessageDetails} message
 */
function useFirstReason({ message_id: id, thread_id: thread, created_at: created, state }) {
  const isOver = state !== "queued";
  const { value } = useLoaded(
    async (signal) => {
      if (thread === null || !isOver) return "";
      const page = await client.messages({ thread_id: thread, limit: THREAD_LIMIT }, { signal }).pages().next();
      const before = (page.value ?? []).find(
        (each) => each.message_id !== id && each.created_at <= created && each.completed_at !== null && each.completed_at > created,
      );
      return before ? `It waited for message ${before.message_id} of its thread.` : "";
    },
    [id, isOver],
  );
  return value ?? "";
}

/** Return the row of each span within its lane, so that no two overlap while there is room. @param {readonly Span[]} spans @param {number} present */
function packed(spans, present) {
  /** @type {number[]} */
  const ends = [];
  return spans.map(({ from, to }) => {
    const free = ends.findIndex((end) => end <= from);
    const row = free >= 0 ? free : Math.min(ends.length, MOST_ROWS - 1);
    ends[row] = Math.max(ends[row] ?? 0, to ?? present);
    return row;
  });
}

/**
 * @param {{ lane: string, title: string, spans: readonly Span[], at: number, seen: { from: number, to: number },
 *   present: number, onChoose: (at: number) => void }} props
 */
function LaneRow({ lane, title, spans, at, seen, present, onChoose }) {
  const own = spans.flatMap((span, place) => (span.lane === lane ? [{ span, place }] : []));
  if (own.length === 0) return null;
  const rows = packed(own.map(({ span }) => span), present);
  const height = ROW * (Math.max(...rows) + 1);
  const width = Math.max(1, seen.to - seen.from);
  return html`<div class="lane">
    <small>${title}</small>
    <svg width="100%" height=${height} role="group" aria-label=${title}>
      ${own.map(({ span, place }, nth) => {
        const end = span.to ?? present;
        if (end < seen.from || span.from > seen.to) return null;
        const left = (100 * (span.from - seen.from)) / width;
        const share = (100 * (end - span.from)) / width;
        const props = { span, place, left, share, top: ROW * (rows[nth] ?? 0), present, isChosen: place === at };
        return html`<${Bar} key=${place} ...${props} onChoose=${onChoose} />`;
      })}
    </svg>
  </div>`;
}

/**
 * @param {{ span: Span, place: number, left: number, share: number, top: number, present: number, isChosen: boolean,
 *   onChoose: (at: number) => void }} props  `left` and `share` are percentages of the width
 */
function Bar({ span, place, left, share, top, present, isChosen, onChoose }) {
  const length = Math.max(1, (span.to ?? present) - span.from);
  const first = span.first === null ? 0 : (100 * (span.first - span.from)) / length;
  return html`<svg x="${left}%" y=${top + 2} width="${Math.max(share, THINNEST)}%" height=${ROW - 4} class="bar" data-kind=${span.kind} data-lane=${span.lane}
    id="span-${place}" role="button" aria-pressed=${isChosen} tabindex=${isChosen ? 0 : -1} aria-label=${wordsOfSpan(span, present)}
    onFocus=${() => onChoose(place)} onClick=${() => onChoose(place)}>
    <rect width="100%" height="100%" rx="3" />
    ${first > 0 && html`<rect class="before" width="${first}%" height="100%" rx="3" />`}
    <text x="5" y="14" aria-hidden="true">${MARKS[span.kind]}${span.name}</text>
  </svg>`;
}

/** @param {{ start: number, seen: { from: number, to: number } }} props */
function Ticks({ start, seen }) {
  const times = Array.from({ length: TICKS + 1 }, (_, at) => seen.from + ((seen.to - seen.from) * at) / TICKS);
  return html`<div class="ticks number" aria-hidden="true">${times.map((time) => html`<small>${spanText(Math.max(0, time - start) / 1000)}</small>`)}</div>`;
}

/** @param {{ spans: readonly Span[], start: number, present: number }} props */
function Rows({ spans, start, present }) {
  const titles = new Map(LANES);
  return html`<div class="scrolls" tabindex="0" role="region" aria-label="Times as a table"><table>
    <thead><tr><th>Kind</th><th>Name</th><th>Begins after</th><th>Lasts</th><th>First token</th><th>Ended</th><th>Detail</th></tr></thead>
    <tbody>
      ${spans.map(
        ({ lane, name, from, to, first, kind, detail }, at) => html`<tr key=${at}>
          <td>${titles.get(lane)}</td><td>${name}</td>
          <td class="number">${spanText((from - start) / 1000)}</td><td class="number">${spanText(((to ?? present) - from) / 1000)}</td>
          <td class="number">${first === null ? "" : spanText((first - from) / 1000)}</td>
          <td>${to === null ? "not yet" : kind === "bad" ? "failed" : kind === "asking" ? "asked" : ""}</td><td>${detail}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}
