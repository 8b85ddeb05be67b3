/** A list of rows of one height, of which only those in sight are in the page. */

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";

import { html } from "../html.js";
import { ROW, Rows } from "./table-rows.js";

/** Rows above and below those in sight. */
const MARGIN = 12;

/** How near to the end the next page is asked for, in rows. */
const NEAR = 40;

/** How long nothing moves until a scroll counts as over, in milliseconds. */
const SETTLE_MS = 150;

/**
 * @template T
 * @typedef {object} Column
 * @property {string} title
 * @property {string} width  as CSS has it for the columns of a grid
 * @property {(row: T) => import("preact").ComponentChildren} cell
 * @property {boolean} [isNumber]
 * @property {boolean} [isShort]  whether its cells always fit, as those of numbers do
 * @property {number} [from]  shown if the table has this width in pixels
 */

/**
 * @template T
 * @param {{ label: string, rows: readonly T[], columns: readonly Column<T>[], keyOf: (row: T) => string,
 *   selected?: number, onSelect?: (at: number) => void, onOpen?: (row: T) => void, onEnd?: () => void,
 *   onPlace?: (at: number) => void, isBehind?: boolean }} props
 *   `columns` should be the same array as before unless cells change: all rows are made anew for others. `selected` is the
 *   row of the keyboard. `onEnd` is called when the last rows come in sight, `onPlace` with the first row in sight. `isBehind`: there are
 *   newer rows, for which somebody has to go to the begin.
 */
export function Table({ label, rows, columns, keyOf, selected = -1, onSelect, onOpen, onEnd, onPlace, isBehind = false }) {
  const element = useRef(/** @type {HTMLDivElement | null} */ (null));
  const width = useSignal(0);
  const sight = useSight();
  const anchor = useRef({ at: 0, key: "" });
  const look = (isScroll = false) => {
    const { scrollTop = 0, clientHeight = 0, clientWidth = 0 } = element.current ?? {};
    const at = Math.floor(scrollTop / ROW);
    const count = Math.ceil(clientHeight / ROW) + 1 + 2 * MARGIN;
    width.value = clientWidth;
    sight.see(Math.max(0, at - MARGIN), count, isScroll);
    const top = rows[at];
    anchor.current = { at, key: top === undefined ? "" : keyOf(top) };
    onPlace?.(at);
    if (at + count > rows.length - NEAR) onEnd?.();
  };
  const newest = useRef(look);
  newest.current = look;
  useLayoutEffect(() => {
    keepPlace(element.current, anchor.current, rows, keyOf);
    look();
  }, [rows, rows.length]); // the rows of events are one array that grows
  useEffect(() => {
    const sizes = new ResizeObserver(() => newest.current());
    if (element.current) sizes.observe(element.current);
    return () => sizes.disconnect();
  }, []);
  const chosen = rows[selected];
  useEffect(() => scrollTo(element.current, selected), [chosen === undefined ? selected : keyOf(chosen)]);

  const fitting = useMemo(() => columns.filter(({ from = 0 }) => from <= width.value), [columns, width.value]);
  const style = { "--columns": fitting.map(({ width }) => width).join(" ") };
  return html`<div class="table" role="table" aria-label=${label} aria-rowcount=${rows.length + 1} style=${style}>
    <div class="head" role="row">
      ${fitting.map(({ title, isNumber }) => html`<span role="columnheader" class=${isNumber ? "is-number" : ""}>${title || html`<span class="only-read">Selected</span>`}</span>`)}
    </div>
    <div class="body" style=${{ "--rows": `${rows.length * ROW}px` }} ref=${element} onScroll=${() => look(true)} tabindex="0" role="rowgroup" aria-label=${label}>
      <${Rows} ...${{ rows, columns: fitting, keyOf, selected, sight: sight.shown, onSelect, onOpen }} />
    </div>
    ${isBehind && html`<button class="newest" onClick=${() => element.current?.scrollTo(0, 0)}>Show the newest</button>`}
  </div>`;
}

/** The rows that are in the page. @typedef {{ first: number, count: number, isMoving: boolean }} Sight */

/** Keep which rows are in the page, and whether they move. */
function useSight() {
  const shown = useSignal(/** @type {Sight} */ ({ first: 0, count: 40, isMoving: false }));
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  useEffect(() => () => clearTimeout(timer.current), []);
  /** @param {number} first @param {number} count @param {boolean} isScroll */
  const see = (first, count, isScroll) => {
    const before = shown.peek();
    if (first === before.first && count === before.count) return;
    shown.value = { first, count, isMoving: isScroll };
    clearTimeout(timer.current);
    if (isScroll) timer.current = setTimeout(() => (shown.value = { ...shown.peek(), isMoving: false }), SETTLE_MS);
  };
  return { shown, see };
}

/**
 * Have the first row in sight stay where it is when rows have come or gone above it, unless the list is at its begin.
 * @template T
 * @param {HTMLElement | null} body
 * @param {{ at: number, key: string }} anchor  that row
 * @param {readonly T[]} rows
 * @param {(row: T) => string} keyOf
 */
function keepPlace(body, { at, key }, rows, keyOf) {
  const row = rows[at];
  if (!body || at === 0 || (row !== undefined && keyOf(row) === key)) return;
  const moved = rows.findIndex((each) => keyOf(each) === key);
  if (moved >= 0) body.scrollTop += (moved - at) * ROW;
}

/** Bring a row in sight. @param {HTMLElement | null} body @param {number} at */
function scrollTo(body, at) {
  if (!body || at < 0) return;
  const top = at * ROW;
  if (top < body.scrollTop) body.scrollTop = top;
  else if (top + ROW > body.scrollTop + body.clientHeight) body.scrollTop = top + ROW - body.clientHeight;
}
