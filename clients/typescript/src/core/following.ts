/** The state of one followed message: which request to send, what its bytes mean, and what to do when they end. */

import { AgentQError, InvalidRequest, StreamLost } from "../errors.js";
import { isTerminal, toEvent, type StreamEvent, type TerminalEvent } from "../events.js";
import { AnswerText } from "./answer-text.js";
import { BrokenStream, Reconnecting, isPassing } from "./reconnecting.js";
import { refusal, type Reply } from "./replies.js";
import { segment } from "./requests.js";
import type { Frame } from "./sse.js";

/**
 * The machine behind the streams of messages. `terminal` is the last event once there is one. `isOver` also holds when the
 * reader has seen all before.
 */
export class Following extends Reconnecting<StreamEvent> {
  readonly messageId: string;
  readonly answer = new AnswerText();
  lastEventId: number | null;
  position: number | null = null;
  eta: Date | null = null;
  state: string | null = null;
  attempt: number | null = null;
  terminal: TerminalEvent | null = null;
  lostText = false;
  #given: number | null;
  #expectsNext: boolean;

  constructor(messageId: string, after: number | null = null) {
    super();
    this.messageId = messageId;
    this.lastEventId = after;
    this.#given = after;
    this.#expectsNext = after !== null;
  }

  get path(): string {
    return `/messages/${segment(this.messageId)}/stream`;
  }

  /**
   * Take a refusal. Return a `reset` if the stream begins anew, nothing if it goes on after a pause. Throws the error of
   * a refusal that will stay.
   */
  refused(reply: Reply): StreamEvent[] {
    const error = refusal(reply, "GET", this.path);
    this.failure = error;
    if (this.lastEventId !== null && this.lastEventId !== this.#given && refusesPosition(error)) {
      // A crash of the database took events that this stream has had.
      this.lastEventId = null;
      this.#given = null;
      this.#expectsNext = false;
      const reset: StreamEvent = { type: "reset", id: null, data: { text: "" }, text: "" };
      this.#apply(reset);
      return [reset];
    }
    if (!isPassing(reply.status)) throw error;
    return [];
  }

  receive(piece: Uint8Array): StreamEvent[] {
    return this.readFrames(piece, eventOf);
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
      this.progress = true;
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

  /** Return StreamLost, or the failure of a stream that was never opened. */
  protected lost(why: string, failure: unknown): unknown {
    if (failure instanceof AgentQError && this.lastEventId === this.#given) return failure;
    const what = `The stream of ${this.messageId} ${why}`;
    return new StreamLost(what, this.messageId, this.lastEventId, this.answer.text, failure);
  }
}

function eventOf({ event, id, data }: Frame): StreamEvent | null {
  if (event === "message") return null;
  return toEvent(event, id !== null && /^\d{1,15}$/.test(id) ? Number(id) : null, data);
}

function refusesPosition(error: AgentQError): boolean {
  return error instanceof InvalidRequest && error.fields.some(({ field }) => field.toLowerCase() === "last-event-id");
}
