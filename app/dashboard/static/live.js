/**
 * The server's changes, by one stream for the page. It ends while the page is hidden or updates are held, and goes on
 * behind the last change that was seen. A browser opens few connections to a server, so hidden pages leave theirs.
 */

import { AgentQOperator } from "agentq-client/operators";
import { computed, effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { API_URL, fetchWithSession, may } from "./session.js";
import { takeStream } from "./streams.js";

/** @typedef {import("agentq-client/operators").Change | import("agentq-client/operators").ChangesReset} Change */

/** @typedef {"live" | "slow" | "reconnecting"} Status */

/**
 * @typedef {object} News
 * @property {readonly Change[]} changes  the newest of each message, thread, agent and so on, with the state before all of them
 * @property {boolean} isReset  whether changes are missing, so that lists have to be loaded
 */

const RETRY_MS = 2_000;

/** How often pages load anew what they show while other pages have all streams of the browser. */
const SLOW_MS = 5_000;

/** @type {Set<(news: News) => void>} */
const readers = new Set();

/** The state of the stream, and since when, in milliseconds. `slow`: other pages have all streams. */
export const live = signal({ status: /** @type {Status} */ ("reconnecting"), since: Date.now() });

/** Whether a person has paused the updates. */
export const isPaused = signal(false);

/** How many parts of the page hold the updates, as while a row is acted on. */
const holds = signal(0);

/** Whether what is shown stays as it is: a person has paused the updates, or a part of the page holds them. */
export const isHeld = computed(() => isPaused.value || holds.value > 0);

/** Whether the page is in the background, where it does nothing. */
export const isHidden = signal(document.hidden);
document.addEventListener("visibilitychange", () => (isHidden.value = document.hidden));

/** Whether the device has a network. Without one, a stream ends only after seconds of silence. */
const isOnline = signal(navigator.onLine);
addEventListener("online", () => (isOnline.value = true));
addEventListener("offline", () => {
  setStatus("reconnecting");
  isOnline.value = false;
});

const isWanted = computed(() => may("read") && isOnline.value && !isHeld.value && !isHidden.value);

/** A client of its own, so that it can tell when its only stream is open. */
const client = new AgentQOperator(API_URL, { fetch: watchedFetch });

/** @type {typeof fetch} */
async function watchedFetch(input, init) {
  setStatus("reconnecting");
  const response = await fetchWithSession(input, init);
  if (!response.ok || response.body === null) return response;
  setStatus("live");
  return new Response(watchedBody(response.body, init?.signal), response);
}

/**
 * Return the body, and tell of its end at once: the next request may be some seconds away. An end that the page wants
 * itself, as while it is hidden, is not told.
 * @param {ReadableStream<Uint8Array>} body
 * @param {AbortSignal | null | undefined} stop
 */
function watchedBody(body, stop) {
  const reader = body.getReader();
  const ended = () => void (stop?.aborted || setStatus("reconnecting"));
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        ended();
        controller.close();
      } catch (error) {
        ended();
        throw error;
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** @param {Status} status */
function setStatus(status) {
  if (live.peek().status !== status) live.value = { status, since: Date.now() };
}

/** @type {Map<string, Change>} */
const waiting = new Map();
let isReset = false;
let isPlanned = false;

/** @param {Change} change */
function add(change) {
  if (change.type === "reset") isReset = true;
  else {
    const key = keyOf(change);
    const earlier = waiting.get(key);
    const before = earlier && earlier.type !== "reset" ? earlier.state_before : change.state_before;
    waiting.set(key, { ...change, state_before: before });
  }
  plan();
}

function plan() {
  if (!isPlanned) requestAnimationFrame(deliver);
  isPlanned = true;
}

/** Return the name of what a change is about. @param {Change} change */
function keyOf(change) {
  if (change.type === "reset") return change.type;
  return change.message_id ?? change.thread_id ?? change.agent ?? change.worker_id ?? change.type;
}

/** Give the readers what has come since the last frame. */
function deliver() {
  const news = { changes: [...waiting.values()], isReset };
  waiting.clear();
  isReset = isPlanned = false;
  for (const reader of [...readers]) reader(news);
}

/** The id of the newest change, behind which the stream goes on. @type {string | null} */
let lastId = null;

/** @param {AbortSignal} stop */
async function follow(stop) {
  while (!stop.aborted) {
    const leave = await takeStream();
    if (leave === null) {
      setStatus("slow");
      isReset = true;
      plan();
    } else {
      await read(stop).finally(leave);
    }
    await new Promise((done) => setTimeout(done, leave === null ? SLOW_MS : RETRY_MS));
  }
}

/** Read the stream to its end. @param {AbortSignal} stop */
async function read(stop) {
  const stream = client.changes.follow({}, { after: lastId, signal: stop });
  try {
    for await (const change of stream) add(change);
  } catch {
    setStatus("reconnecting"); // the client has tried several times, and the badge says so
  }
  lastId = stream.lastEventId;
}

/** How often the stream was opened without waiting for its next try. */
const restarts = signal(0);

effect(() => {
  void restarts.value;
  if (!isWanted.value) return undefined;
  const stop = new AbortController();
  void follow(stop.signal);
  return () => stop.abort();
});

/** How long the stream may be away before what is on the page counts as old, in milliseconds. */
const GRACE_MS = 3_000;

/**
 * Return whether something may have changed since it was loaded, because the stream of changes is away.
 * @param {number | null} loadedAt  milliseconds
 * @param {number} now  milliseconds
 */
export function mayBeOld(loadedAt, now) {
  const { status, since } = live.value;
  return status === "reconnecting" && now - since > GRACE_MS && (loadedAt ?? 0) < since;
}

/** Open the stream now if it is away: the server has just answered something else, and the next try may be far off. */
export function reconnect() {
  if (live.peek().status === "reconnecting" && Date.now() - live.peek().since > GRACE_MS) restarts.value++;
}

/**
 * Call `reader` with what has changed, once a frame at most, while a component is shown.
 * @param {(news: News) => void} reader
 */
export function useChanges(reader) {
  useEffect(() => {
    readers.add(reader);
    return () => void readers.delete(reader);
  });
}

/**
 * Hold the updates while `isHeld`, so that nothing moves under a pointer.
 * @param {boolean} isHeld
 */
export function useHold(isHeld) {
  useEffect(() => {
    if (!isHeld) return undefined;
    holds.value++;
    return () => void holds.value--;
  }, [isHeld]);
}
