/** The part that all streams share: the head of each connection, its frames, and the pause before the next one. */

import { APIError } from "../errors.js";
import type { Reply } from "./replies.js";
import { LONGEST_WAIT_SECONDS, MAYBE_CARRIED_OUT, NOT_CARRIED_OUT, type Query } from "./requests.js";
import { FrameReader, type Frame } from "./sse.js";

const DEFAULT_RETRY_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

/** A connection that lasted this long counts as a success, although it brought no event. */
const HEALTHY_MS = 5_000;

const MAX_FRUITLESS_TRIES = 8;

/** The server sends at least a comment every 15 seconds. After three times as long, the connection is taken as dead. */
export const SILENCE_MS = 45_000;

/** The bytes of a connection are not what a server of this kind sends. The stream continues on a new connection. */
export class BrokenStream extends Error {}

/**
 * The base of the machines behind streams of events `E`. It does no input or output and reads no clock. Call `opened` with
 * the head of each reply, `receive` with its bytes, and `interrupted` when a connection ends. `isOver` says that there is
 * nothing more to read.
 */
export abstract class Reconnecting<E> {
  readonly query: Query = {};
  isOver = false;
  protected progress = false;
  protected failure: unknown;
  #frames = new FrameReader();
  #retryMs = DEFAULT_RETRY_MS;
  #fruitless = 0;

  /** The path of the stream. */
  abstract readonly path: string;
  /** The id after which the next connection continues, null for the beginning. */
  abstract readonly lastEventId: number | string | null;

  /** Take a refusal. Return the events to show before the stream goes on after a pause. Throws the error of one that stays. */
  abstract refused(reply: Reply): E[];

  /**
   * Return the events that end in these bytes. `accept` has to be called with each, in order. Throws BrokenStream for
   * bytes of another kind.
   */
  abstract receive(piece: Uint8Array): E[];

  /** Take the next event. Return whether to show it. Throws BrokenStream if an event before it is missing. */
  abstract accept(event: E): boolean;

  /** Return the error of a stream that brings nothing more. `why` is how the last connection ended. */
  protected abstract lost(why: string, failure: unknown): unknown;

  /** The headers of the next request. */
  get headers(): Record<string, string> {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (this.lastEventId !== null) headers["last-event-id"] = String(this.lastEventId);
    return headers;
  }

  /**
   * Take the head of a reply. Return whether its body is the stream; the others are given to `refused`. Throws
   * BrokenStream if another program has answered.
   */
  opened(status: number, headers: Headers): boolean {
    this.#frames = new FrameReader();
    this.progress = false;
    this.failure = undefined;
    if (status === 204) {
      this.isOver = true;
      return true;
    }
    if (status !== 200) return false;
    const type = headers.get("content-type");
    if (!type?.toLowerCase().startsWith("text/event-stream")) {
      throw new BrokenStream(`the reply is \`${type}\` and no stream of events`);
    }
    return true;
  }

  /**
   * Take the end of a connection. Return the milliseconds to wait before the next one. Throws the error of a stream that
   * brings nothing more.
   */
  interrupted(livedMs: number, failure: unknown = this.failure): number {
    this.#fruitless = this.progress || livedMs >= HEALTHY_MS ? 0 : this.#fruitless + 1;
    this.progress = false;
    if (this.#fruitless >= MAX_FRUITLESS_TRIES) {
      const end = failure instanceof Error ? failure.message : "the end of the connection";
      throw this.lost(`brought nothing new in ${this.#fruitless} tries; the last one ended with: ${end}.`, failure);
    }
    const pause = Math.min(this.#retryMs * 2 ** Math.max(0, this.#fruitless - 1), MAX_PAUSE_MS);
    const asked = failure instanceof APIError ? (failure.retryAfter ?? 0) : 0;
    return Math.max(pause * (1 + Math.random() / 4), 1000 * Math.min(asked, LONGEST_WAIT_SECONDS));
  }

  /** Return the events of the frames that end in these bytes. Throws BrokenStream for what `read` cannot read. */
  protected readFrames(piece: Uint8Array, read: (frame: Frame) => E | null): E[] {
    try {
      const frames = this.#frames.feed(piece);
      this.#retryMs = this.#frames.retryMs ?? this.#retryMs;
      return frames.map(read).filter((event) => event !== null);
    } catch (error) {
      throw new BrokenStream((error as Error).message, { cause: error });
    }
  }
}

/** Return whether a stream goes on after a refusal with this status. */
export function isPassing(status: number): boolean {
  return NOT_CARRIED_OUT.has(status) || MAYBE_CARRIED_OUT.has(status);
}
