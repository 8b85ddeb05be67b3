/** The events of one message: those that are stored, then those that come while it runs. */

import { NotFound, isTerminal } from "agentq-client";
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { Answer } from "../../answer.js";
import { client } from "../../client.js";
import { isHidden, isPaused, live } from "../../live.js";
import { eventsOf } from "../../message-events.js";

/** @typedef {import("agentq-client").StreamEvent} StreamEvent */

/** Events that are read in one go. More would hold up the page. */
const PAGE = 500;

/** How long the store may take to show the events of a message whose state has changed already. */
const AGAIN_MS = 500;

/** How often lists and drawings of all events are made anew while events come. */
const SLOW_MS = 250;

/**
 * The events that were read so far, and the answer after them. `version` changes once a frame at most, `slowVersion` four
 * times a second.
 */
export class MessageLog {
  /** @param {string} messageId */
  constructor(messageId) {
    this.messageId = messageId;
    /** @type {StreamEvent[]} */
    this.events = [];
    /** The time at which each event was stored, in milliseconds; for those of the stream, at which it came. @type {number[]} */
    this.times = [];
    this.answer = new Answer();
    this.version = signal(0);
    this.slowVersion = signal(0);
    this.slowAt = 0;
    this.status = signal(/** @type {"loading" | "live" | "ended" | "stopped"} */ ("loading"));
    this.error = signal(/** @type {unknown} */ (null));
    this.waiting = signal(/** @type {import("agentq-client").Waiting | null} */ (null));
    /** How often the times of events were corrected. */
    this.corrections = 0;
    /** The first event whose time is that of this browser. @type {number | null} */
    this.firstLive = null;
    this.restarts = signal(0);
    /** Whether the message has not ended, so that more events will come. */
    this.isOpen = false;
    /** Whether it was queued again and has ended again, so that there are more events than were read. */
    this.hasMore = false;
    this.isPlanned = false;
    this.isListed = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** The id of the last event; null before the first. */
  get lastId() {
    return this.events.at(-1)?.id ?? null;
  }

  /** @param {StreamEvent} event @param {number} time */
  add(event, time) {
    if (event.type === "waiting") {
      this.waiting.value = event;
      return;
    }
    if (event.type === "reset") this.clear();
    this.answer.take(event);
    this.events.push(event);
    this.times.push(time);
    if (this.waiting.peek() !== null) this.waiting.value = null;
    this.touch();
  }

  /** Forget all events, which the server no longer has. */
  clear() {
    this.events = [];
    this.times = [];
    this.firstLive = null;
  }

  /** Have the page painted with the next frame. */
  touch() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      this.version.value++;
      const rest = this.slowAt + SLOW_MS - performance.now();
      if (rest > 0 && this.status.peek() !== "ended") {
        this.touchLater(rest);
        return;
      }
      this.slowAt = performance.now();
      setTimeout(() => this.slowVersion.value++); // in a task of its own, so that neither is long
    });
  }

  /** @param {number} ms */
  touchLater(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.touch(), ms);
  }

  /** Have the log read again after an error. */
  restart() {
    this.restarts.value++;
  }

  /** Read on after an end that was not the last one. */
  goOn() {
    this.hasMore = true;
    this.restart();
  }

  /** Read what is stored, then what comes, to the last event, and again if the message is queued again. @param {AbortSignal} stop */
  async read(stop) {
    this.error.value = null;
    try {
      if (!this.isListed) await this.list(stop);
      while (!stop.aborted) {
        if (!this.hasEnded() || this.isOpen || this.hasMore) await this.follow(stop);
        this.hasMore = false;
        await this.correctTimes(stop);
        this.status.value = "ended";
        await new Promise((done) => setTimeout(done, AGAIN_MS));
        if (!this.isOpen) return;
      }
    } catch (error) {
      if (stop.aborted) return;
      this.error.value = error;
      this.status.value = "stopped";
    }
  }

  hasEnded() {
    const last = this.events.at(-1);
    return last !== undefined && isTerminal(last);
  }

  /** @param {AbortSignal} stop */
  async list(stop) {
    for (;;) {
      const page = await client.storedEvents(this.messageId, { after: this.lastId ?? undefined, limit: PAGE }, { signal: stop });
      for (const event of page) this.add(event, event.at?.getTime() ?? Date.now());
      if (page.length < PAGE) break;
    }
    this.isListed = true;
    this.touch();
  }

  /** @param {AbortSignal} stop */
  async follow(stop) {
    this.status.value = "live";
    for await (const event of eventsOf(this.messageId, { after: this.lastId }, stop)) {
      if (event.id !== null) this.firstLive ??= this.events.length;
      this.add(event, Date.now());
    }
  }

  /** Replace the times at which events came by those at which they were stored, once no more come. @param {AbortSignal} stop */
  async correctTimes(stop) {
    while (this.firstLive !== null) {
      const at = this.firstLive;
      const after = this.events[at - 1]?.id ?? undefined;
      const page = await client.storedEvents(this.messageId, { after, limit: PAGE }, { signal: stop });
      page.forEach((event, place) => {
        if (event.at && this.events[at + place]?.id === event.id) this.times[at + place] = event.at.getTime();
      });
      this.firstLive = page.length < PAGE ? null : at + page.length;
      this.corrections++;
    }
    this.touch();
  }
}

/**
 * Read the log of a message while the page is seen. `isOpen` tells whether the message has not ended, and `endedAt` when it
 * ended, so that a log whose message was queued again goes on. A quick one has ended again before it was seen to be open.
 * @param {string} messageId
 * @param {boolean} isOpen
 * @param {string | null} endedAt
 */
export function useLog(messageId, isOpen, endedAt) {
  const held = useRef(/** @type {MessageLog | null} */ (null));
  if (held.current?.messageId !== messageId) held.current = new MessageLog(messageId);
  const log = held.current;
  const isWanted = !isPaused.value && !isHidden.value;
  log.isOpen = isOpen;
  useEffect(() => {
    if (!isWanted) return undefined;
    const stop = new AbortController();
    void log.read(stop.signal);
    return () => stop.abort();
  }, [log, isWanted, log.restarts.value]);
  // Once the server is back, an end that its absence caused was not the last one.
  const isLive = live.value.status === "live";
  useEffect(() => void (isLive && log.status.peek() === "stopped" && !(log.error.peek() instanceof NotFound) && log.restart()), [isLive]);
  const endedBefore = useRef(endedAt);
  useEffect(() => {
    const hasEndedAgain = endedBefore.current !== null && endedAt !== null && endedAt !== endedBefore.current;
    endedBefore.current = endedAt;
    if (hasEndedAgain) log.goOn();
    else if (isOpen && log.status.peek() === "ended") log.restart();
  }, [isOpen, endedAt]);
  return log;
}
