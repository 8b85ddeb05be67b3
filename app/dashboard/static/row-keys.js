/** The keys that move through the rows of a list and open them. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";

import { useShortcuts } from "./keyboard.js";

/**
 * Have the shortcuts `j`, `k` and Enter for the rows of a list. `at` is the place of the row that they have reached, -1
 * before the first key; it follows the row when others come before it. `withRow` calls a function with that row, as it is
 * when a key is pressed.
 * @template T
 * @param {readonly T[]} rows
 * @param {{ open: (row: T) => void, label: string, keyOf: (row: T) => string }} options  `label` names what Enter does
 */
export function useRowKeys(rows, { open, label, keyOf }) {
  const reached = useSignal({ at: -1, key: "" });
  const newest = useRef(rows);
  newest.current = rows;
  /** Return the place of the row now. Without the row, it is the place that it had. */
  const find = () => {
    const { at, key } = reached.value;
    const { current: present } = newest;
    const row = present[at];
    if (at < 0 || (row !== undefined && keyOf(row) === key)) return at;
    const moved = present.findIndex((each) => keyOf(each) === key);
    return moved < 0 ? Math.min(at, present.length - 1) : moved;
  };
  /** @param {number} to */
  const select = (to) => {
    const at = Math.max(0, Math.min(newest.current.length - 1, to));
    const row = newest.current[at];
    if (row !== undefined) reached.value = { at, key: keyOf(row) };
  };
  /** @param {(row: T) => void} act */
  const withRow = (act) => {
    const row = newest.current[find()];
    if (row) act(row);
  };
  useShortcuts([
    { keys: "j", label: "Next row", run: () => select(find() + 1) },
    { keys: "k", label: "Row before", run: () => select(find() - 1) },
    { keys: "enter", label, run: () => withRow(open) },
  ]);
  return { at: find(), select, withRow };
}
