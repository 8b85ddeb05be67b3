/** The rows of a table that are in the page. Their elements are used again: to make new ones takes most of a frame of a scroll. */

import { Component } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";

import { html } from "../html.js";

/** Height of a row in pixels. `components.css` has the same. */
export const ROW = 36;

/** The elements of a row. `at` is the row's place in the list. @typedef {{ id: number, key: string, at: number }} Slot */

/** Gives each row the elements of one that is no longer shown. */
export class Slots {
  constructor() {
    /** The slots in the order of the page. @type {Slot[]} */
    this.all = [];
    this.made = 0;
  }

  /**
   * Give slots to the rows with these keys, of which the first has the place `first`. Rows that have a slot keep it. The order
   * of the page is that of the list, as keys and screen readers need it, unless the rows move: to move elements takes time.
   * @param {readonly string[]} keys
   * @param {number} first
   * @param {boolean} isMoving
   */
  take(keys, first, isMoving) {
    const places = new Map(keys.map((key, place) => [key, first + place]));
    /** @type {Slot[]} */
    const free = [];
    for (const slot of this.all) {
      const at = places.get(slot.key);
      if (at === undefined) free.push(slot);
      else slot.at = at;
      places.delete(slot.key);
    }
    for (const [key, at] of places) {
      const slot = free.pop();
      if (slot) Object.assign(slot, { key, at });
      else this.all.push({ id: this.made++, key, at });
    }
    if (free.length > 0) this.all = this.all.filter((slot) => !free.includes(slot));
    if (!isMoving) this.all.sort((one, other) => one.at - other.at);
    return this.all;
  }
}

/**
 * @template T
 * @typedef {object} RowsProps
 * @property {readonly T[]} rows
 * @property {readonly import("./table.js").Column<T>[]} columns  those that are shown
 * @property {(row: T) => string} keyOf
 * @property {number} selected
 * @property {import("@preact/signals").ReadonlySignal<import("./table.js").Sight>} sight
 * @property {(at: number) => void} [onSelect]
 * @property {(row: T) => void} [onOpen]
 */

/** @template T @param {RowsProps<T>} props */
export function Rows({ rows, columns, keyOf, selected, sight, onSelect, onOpen }) {
  const { first, count, isMoving } = sight.value;
  const element = useRef(/** @type {HTMLDivElement | null} */ (null));
  const slots = useMemo(() => new Slots(), []);
  const focused = document.activeElement;
  const isFocusOf = focusedSlot(element.current, focused, slots);
  const keyBefore = isFocusOf?.key;
  const shown = slots.take(rows.slice(first, first + count).map(keyOf), first, isMoving);
  useLayoutEffect(() => {
    if (isFocusOf) keepFocus(element.current, focused, isFocusOf.key === keyBefore && slots.all.includes(isFocusOf));
  });
  /** @param {Event} event @param {(at: number) => void} act */
  const withRow = ({ target }, act) => {
    const row = /** @type {Element} */ (target).closest('[role="row"]');
    if (row) act(Number(row.getAttribute("aria-rowindex")) - 2);
  };
  /** @param {number} at */
  const open = (at) => {
    const row = rows[at];
    if (row !== undefined) onOpen?.(row);
  };
  return html`<div
    role="presentation" class="rows" ref=${element} style=${{ height: `${rows.length * ROW}px` }}
    onClick=${(/** @type {Event} */ event) => withRow(event, (at) => onSelect?.(at))} onDblClick=${(/** @type {Event} */ event) => withRow(event, open)}
  >${shown.map(({ id, at }) => html`<${Row} key=${id} slot=${id} row=${rows[at]} at=${at} isSelected=${at === selected} columns=${columns} />`)}</div>`;
}

/** @typedef {{ slot: number, row: any, at: number, isSelected: boolean, columns: readonly import("./table.js").Column<any>[] }} RowProps */

/** @extends {Component<RowProps>} */
class Row extends Component {
  /** @param {RowProps} next */
  shouldComponentUpdate({ row, at, isSelected, columns }) {
    const { props } = this;
    return row !== props.row || at !== props.at || isSelected !== props.isSelected || columns !== props.columns;
  }

  render() {
    const { slot, row, at, isSelected, columns } = this.props;
    return html`<div role="row" data-slot=${slot} aria-rowindex=${at + 2} aria-selected=${isSelected} style=${{ top: `${at * ROW}px` }}>
      ${columns.map(({ cell, isNumber, isShort }) => html`<span role="cell" class=${isNumber ? "is-number" : isShort ? "is-short" : ""}>${cell(row)}</span>`)}
    </div>`;
  }
}

/** Return the slot with the focus, if a row has it. @param {Element | null} rows @param {Element | null} focused @param {Slots} slots */
function focusedSlot(rows, focused, slots) {
  if (!focused || !rows?.contains(focused)) return undefined;
  const id = Number(focused.closest("[data-slot]")?.getAttribute("data-slot"));
  return slots.all.find((slot) => slot.id === id);
}

/**
 * Keep the focus where it was, which an element loses when it is moved. If its row is gone, the whole list has it.
 * @param {HTMLElement | null} rows
 * @param {Element | null} focused
 * @param {boolean} isThere  whether it still shows the same row
 */
function keepFocus(rows, focused, isThere) {
  const target = isThere && focused?.isConnected ? focused : rows?.parentElement;
  if (target instanceof HTMLElement && target !== document.activeElement) target.focus({ preventScroll: true });
}
