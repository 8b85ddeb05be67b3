/** Data of the server in a component: loaded, loaded again, and what is said when that fails. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { session } from "./session.js";

/**
 * @template T
 * @typedef {object} Loaded
 * @property {T | undefined} value  the newest that was loaded, which stays when a later try fails
 * @property {unknown} error  of the last try; null when it succeeded
 * @property {boolean} isStale  whether `value` may no longer hold
 * @property {number | null} loadedAt  milliseconds
 * @property {() => Promise<void>} reload
 */

/**
 * Load something when a component is shown, when `inputs` change, and after a sign-in. What was loaded for the same inputs
 * stays meanwhile: with a form in it, what was typed would go too.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {readonly unknown[]} inputs
 * @returns {Loaded<T>}
 */
export function useLoaded(load, inputs) {
  const shown = useSignal(
    /** @type {{ value?: T, error: unknown, isLoading: boolean, loadedAt: number | null }} */ ({
      error: null,
      isLoading: true,
      loadedAt: null,
    }),
  );
  const running = useRef(/** @type {AbortController | null} */ (null));
  const newest = useRef(load);
  newest.current = load;

  async function reload() {
    running.current?.abort();
    const controller = (running.current = new AbortController());
    try {
      const value = await newest.current(controller.signal);
      if (!controller.signal.aborted) shown.value = { value, error: null, isLoading: false, loadedAt: Date.now() };
    } catch (error) {
      if (!controller.signal.aborted) shown.value = { ...shown.value, error, isLoading: false };
    }
  }

  const isSignedIn = session.value.view !== null;
  useEffect(() => void (shown.value = { error: null, isLoading: true, loadedAt: null }), inputs);
  useEffect(() => {
    if (!isSignedIn) return;
    void reload();
    return () => running.current?.abort();
  }, [isSignedIn, ...inputs]);
  const { value, error, loadedAt } = shown.value;
  return { value, error, isStale: error !== null, loadedAt, reload };
}
