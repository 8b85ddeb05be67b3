/** Data that is loaded again by itself: soon after a change, seldom while nothing happens, never in a hidden page. */

import { useComputed, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { now } from "./components/moment.js";
import { isHeld, live, mayBeOld, reconnect, useChanges } from "./live.js";
import { useLoaded } from "./loading.js";
import { session } from "./session.js";

const LOOK_MS = 500;

/** Longest time between two tries after an error, in milliseconds. */
const RETRY_MS = 5_000;

/** @typedef {import("agentq-client/operators").Change} Change */

/**
 * @template T
 * @typedef {object} Pace
 * @property {number} busyMs  shortest time between two tries, while changes come and without the stream of changes; a try after an error does not wait longer than RETRY_MS
 * @property {number} idleMs  the same while nothing changes
 * @property {(change: Change) => boolean} [concerns]  whether a change concerns the data; all do by default
 * @property {(value: T) => boolean} [isMoving]  whether the data changes without a change of the server, which counts as busy
 */

/**
 * Load something as `useLoaded` does, and again as the pace says. `isStale` is also true while the server's changes are away.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {readonly unknown[]} inputs
 * @param {Pace<T>} pace
 * @returns {import("./loading.js").Loaded<T>}
 */
export function useRefreshed(load, inputs, { busyMs, idleMs, concerns = () => true, isMoving = () => false }) {
  /** @param {AbortSignal} signal */
  const loadAndReconnect = async (signal) => {
    const value = await load(signal);
    reconnect();
    return value;
  };
  const loaded = useLoaded(loadAndReconnect, inputs);
  const state = useRef({ triedAt: Date.now(), isNews: false, isRunning: false });
  const newest = useRef(loaded);
  newest.current = loaded;

  async function reload() {
    state.current = { triedAt: Date.now(), isNews: false, isRunning: true };
    await newest.current.reload();
    state.current.isRunning = false;
  }

  useChanges(({ changes, isReset }) => {
    if (isReset || changes.some((each) => each.type !== "reset" && concerns(each))) state.current.isNews = true;
  });
  useEffect(() => {
    const timer = setInterval(() => {
      const { triedAt, isNews, isRunning } = state.current;
      const { value, error } = newest.current;
      const isBusy = isNews || live.peek().status !== "live" || (value !== undefined && isMoving(value));
      if (session.peek().view === null || document.hidden) return; // nobody sees it, or may
      const wait = error !== null ? Math.min(busyMs, RETRY_MS) : isBusy ? busyMs : idleMs;
      if (!isHeld.peek() && !isRunning && Date.now() - triedAt >= wait) void reload();
    }, LOOK_MS);
    return () => clearInterval(timer);
  }, [busyMs, idleMs]);
  // Once the server is back, what is on the page is from before.
  useSignalEffect(() => {
    const { status, since } = live.value;
    const { loadedAt } = newest.current;
    if (status === "live" && loadedAt !== null && loadedAt < since && !state.current.isRunning) void reload();
  });
  const isOld = useComputed(() => mayBeOld(newest.current.loadedAt, now.value));
  return { ...loaded, isStale: loaded.isStale || isOld.value, reload };
}
