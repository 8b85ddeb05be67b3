/** The state of one followed message: which request to send, what its bytes mean, and what to do when they end. */

import { AgentQError, APIError, InvalidRequest, StreamLost } from "../errors.js";
import { isTerminal, toEvent, type StreamEvent, type TerminalEvent } from "../events.js";
import { AnswerText } from "./answer-text.js";
import { refusal, type Reply } from "./replies.js";
import { LONGEST_WAIT_SECONDS, MAYBE_CARRIED_OUT, NOT_CARRIED_OUT, segment } from "./requests.js";
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
 * The machine behind a stream. It does no input or output and reads no clock. Call `opened` with the head of each reply,
 * `receive` with its bytes, and `interrupted` when a connection ends. `terminal` is the last event once there is one.
 * `isOver` also holds when the reader has seen all before.
 */
export class Following {
  readonly messageId: string;
  readonly answer = new AnswerText();
  lastEventId: number | null;
  position: number | null = null;
  eta: Date | null = null;
  state: string | null = null;
  attempt: number | null = null;
  terminal: TerminalEvent | null = null;
  isOver = false;
  lostText = false;
  #given: number | null;
  #frames = new FrameReader();
  #progress = false;
  #expectsNext: boolean;
  #retryMs = DEFAULT_RETRY_MS;
  #fruitless = 0;
  #failure: unknown;

  constructor(messageId: string, after: number | null = null) {
    this.messageId = messageId;
    this.lastEventId = after;
    this.#given = after;
    this.#expectsNext = after !== null;
  }

  /** The path of the stream. */
  get path(): string {
    return `/messages/${segment(this.messageId)}/stream`;
  }

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
    this.#progress = false;
    this.#failure = undefined;
    if (status === 204) {
      this.isOver = true;
      return true;
    }
    if (status !== 200) return false;
    const type = headers.get("content-type");
    if (!type?.startsWith("text/event-stream")) throw new BrokenStream(`the reply is \`${type}\` and no stream of events`);
    return true;
  }

  /**
   * Take a refusal. Return a `reset` if the stream begins anew, nothing if it goes on after a pause. Throws the error of
   * a refusal that will stay.
   */
  refused(reply: Reply): StreamEvent[] {
    const error = refusal(reply, "GET", this.path);
    this.#failure = error;
    if (this.lastEventId !== null && this.lastEventId !== this.#given && refusesPosition(error)) {
      // A crash of the database took events that this stream has had.
      this.lastEventId = null;
      this.#given = null;
      this.#expectsNext = false;
      const reset: StreamEvent = { type: "reset", id: null, data: { text: "" }, text: "" };
      this.#apply(reset);
      return [reset];
    }
    if (!NOT_CARRIED_OUT.has(reply.status) && !MAYBE_CARRIED_OUT.has(reply.status)) throw error;
    return [];
  }

  /**
   * Return the events that end in these bytes. `accept` has to be called with each, in order. Throws BrokenStream for
   * bytes of another kind.
   */
  receive(piece: Uint8Array): StreamEvent[] {
    try {
      const frames = this.#frames.feed(piece);
      this.#retryMs = this.#frames.retryMs ?? this.#retryMs;
      return frames.filter(({ event }) => event !== "message").map(eventOf);
    } catch (error) {
      throw new BrokenStream((error as Error).message, { cause: error });
    }
  }

  /**
   * Take the next event. Return whether it is new, and therefore to be shown. Throws BrokenStream if an event before it
   * is missing.
   */
  accept(event: StreamEvent): boolean {
    if (event.id !== null) {
      const last = this.lastEventId;
      if (last !== null && event.id <= last) return false;
      if (last !== null && this.#expectsNext && event.id !== last + 1) {
        throw new BrokenStream(`event ${event.id} came after event ${last}`);
      }
      this.lastEventId = event.id;
      this.#expectsNext = true;
      this.#progress = true;
    }
    this.#apply(event);
    return true;
  }

  #apply(event: StreamEvent): void {
    this.lostText = this.answer.take(event);
    if (event.type === "waiting") {
      this.position = event.position;
      this.eta = event.eta;
    } else if (event.type !== "unknown") {
      this.position = null;
      this.eta = null;
    }
    if (event.type === "processing") this.attempt = event.attempt;
    if (event.type === "reset") this.#expectsNext = false;
    if (isTerminal(event)) {
      this.terminal = event;
      this.isOver = true;
    }
    const { state } = event.data as { state?: unknown };
    if (typeof state === "string" && event.type !== "node") this.state = state;
  }

  /**
   * Take the end of a connection. Return the milliseconds to wait before the next one. Throws StreamLost after several
   * connections without news, and ServerUnreachable if none was ever opened.
   */
  interrupted(livedMs: number, failure: unknown = this.#failure): number {
    this.#fruitless = this.#progress || livedMs >= HEALTHY_MS ? 0 : this.#fruitless + 1;
    this.#progress = false;
    if (this.#fruitless >= MAX_FRUITLESS_TRIES) {
      if (failure instanceof AgentQError && this.lastEventId === this.#given) throw failure;
      const end = failure instanceof Error ? failure.message : "the end of the connection";
      const what = `The stream of ${this.messageId} brought nothing new in ${this.#fruitless} tries; the last one ended with: ${end}.`;
      throw new StreamLost(what, this.messageId, this.lastEventId, this.answer.text, failure);
    }
    const pause = Math.min(this.#retryMs * 2 ** Math.max(0, this.#fruitless - 1), MAX_PAUSE_MS);
    const asked = failure instanceof APIError ? (failure.retryAfter ?? 0) : 0;
    return Math.max(pause * (1 + Math.random() / 4), 1000 * Math.min(asked, LONGEST_WAIT_SECONDS));
  }
}

function eventOf({ event, id, data }: Frame): StreamEvent {
  return toEvent(event, id !== null && /^\d{1,15}$/.test(id) ? Number(id) : null, data);
}

function refusesPosition(error: AgentQError): boolean {
  return error instanceof InvalidRequest && error.fields.some(({ field }) => field.toLowerCase() === "last-event-id");
}
