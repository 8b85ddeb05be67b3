/** A list of the server, page by page, whose rows are kept up to date. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { session } from "./session.js";

/**
 * @template T
 * @typedef {object} Paged
 * @property {readonly T[]} rows
 * @property {unknown} error  of the last try; null when it succeeded
 * @property {boolean} isLoading
 * @property {boolean} isComplete  whether there are no further rows
 * @property {(least?: number) => Promise<void>} reload  load the first page again, and further ones until there are `least` rows,
 *   by default as many as before; what is shown stays until they are there
 * @property {() => Promise<void>} more  load the next page
 * @property {(change: (row: T) => T) => void} patch  change rows that are known to have changed
 */

/**
 * Load a list when a component is shown, when `inputs` change, and after a sign-in, until which the rows before stay.
 * @template T
 * @param {(signal: AbortSignal) => import("agentq-client").Pages<T>} list
 * @param {readonly unknown[]} inputs
 * @returns {Paged<T>}
 */
export function usePages(list, inputs) {
  const shown = useSignal(
    /** @type {{ rows: readonly T[], error: unknown, isLoading: boolean, isComplete: boolean }} */ ({
      rows: [],
      error: null,
      isLoading: true,
      isComplete: false,
    }),
  );
  const newest = useRef(list);
  newest.current = list;
  const stop = useRef(new AbortController());
  const pages = useRef(/** @type {AsyncGenerator<T[], void, undefined> | null} */ (null));

  /**
   * Load further pages behind some rows, at least one.
   * @param {readonly T[]} before  rows that are not shown yet, or are those that are shown
   * @param {number} least  how many rows there should be
   */
  async function next(before, least) {
    const { signal } = stop.current;
    shown.value = { ...shown.value, isLoading: true };
    const rows = [...before];
    try {
      let done = false;
      // A search may find nothing in a page that is not the last one.
      while (!done && !signal.aborted && (rows.length === before.length || rows.length < least)) {
        /** @type {{ value: T[] | void, done?: boolean }} */
        const page = (await pages.current?.next()) ?? { value: [], done: true };
        done = page.done ?? false;
        rows.push(...(page.value ?? []));
      }
      if (!signal.aborted) shown.value = { rows, error: null, isLoading: false, isComplete: done };
    } catch (error) {
      if (!signal.aborted) shown.value = { ...shown.value, error, isLoading: false };
    }
  }

  async function reload(least = shown.value.rows.length) {
    stop.current.abort();
    stop.current = new AbortController();
    pages.current = newest.current(stop.current.signal).pages();
    await next([], least);
  }

  async function more() {
    const { rows, isLoading, isComplete, error } = shown.value;
    if (!isLoading && !isComplete && error === null) await next(rows, 0);
  }

  const isSignedIn = session.value.view !== null;
  useEffect(() => void (shown.value = { rows: [], error: null, isLoading: true, isComplete: false }), inputs);
  useEffect(() => {
    if (!isSignedIn) return;
    void reload();
    return () => stop.current.abort();
  }, [isSignedIn, ...inputs]);

  /** @param {(row: T) => T} change */
  const patch = (change) => {
    const rows = shown.value.rows.map(change);
    if (rows.some((row, at) => row !== shown.value.rows[at])) shown.value = { ...shown.value, rows };
  };
  return { ...shown.value, reload, more, patch };
}
