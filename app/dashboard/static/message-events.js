/** The events of a message as they come: by a stream, or read every second while the browser has no connection for it. */

import { isTerminal } from "agentq-client";

import { client } from "./client.js";
import { ENDED } from "./message-states.js";
import { takeStream } from "./streams.js";

const PAGE = 500;
const READ_MS = 1_000;

/**
 * Yield the events behind `place.after` to the end of the message. `place.after` becomes the id of the last one.
 * @param {string} messageId
 * @param {{ after: number | null }} place
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<import("agentq-client").StreamEvent, void, undefined>}
 */
export async function* eventsOf(messageId, place, signal) {
  let hasEnded = false;
  for (;;) {
    const leave = await takeStream();
    if (leave !== null) return yield* streamed(messageId, place, signal, leave);
    const page = await client.storedEvents(messageId, { after: place.after ?? undefined, limit: PAGE }, { signal });
    for (const event of page) {
      place.after = event.id;
      yield event;
      if (isTerminal(event)) return;
    }
    if (page.length > 0) continue;
    if (hasEnded) return; // its events are no longer kept
    hasEnded = ENDED.has((await client.status(messageId, { signal })).state);
    if (!hasEnded) await new Promise((done) => setTimeout(done, READ_MS));
  }
}

/**
 * @param {string} messageId
 * @param {{ after: number | null }} place
 * @param {AbortSignal} signal
 * @param {() => void} leave
 */
async function* streamed(messageId, place, signal, leave) {
  const stream = client.follow(messageId, { after: place.after, signal });
  try {
    for await (const event of stream) {
      place.after = stream.lastEventId;
      yield event;
    }
  } finally {
    leave();
  }
}
