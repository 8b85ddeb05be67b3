/** The stream of a message. */

import { eventsOf } from "./connections.js";
import { TextFeed } from "./core/answer-text.js";
import { Following } from "./core/following.js";
import { checkCompleted, checkEnd, checkMessage } from "./core/outcomes.js";
import { ConfigurationError, ServerUnreachable, WaitTimeout } from "./errors.js";
import type { AgentQ } from "./client.js";
import type { StreamEvent, TerminalEvent } from "./events.js";
import type { Accepted, Cancellation, Message } from "./models.js";
import { LONGEST_TIMER_MS } from "./transport.js";

export interface FollowOptions {
  /** Begin after this event instead of at the first one. */
  readonly after?: number | null | undefined;
  /** Seconds after which WaitTimeout is thrown, from the first read on. The message goes on. */
  readonly waitSeconds?: number | undefined;
  /** Ends the stream, which then throws the signal's reason. The message goes on. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The events of a message, once each, over as many connections as it takes. Iterate over it with `for await`. Leaving the
 * loop closes the connection and does not stop the message. `text`, `position` and `eta` are those after the last event.
 */
export class MessageStream implements AsyncIterable<StreamEvent> {
  /** The server's reply to the submit, null before it, and for a stream of another message. */
  accepted: Accepted | null = null;
  readonly #client: AgentQ;
  readonly #submit: ((signal: AbortSignal) => Promise<Accepted>) | null;
  readonly #options: FollowOptions;
  readonly #connections = new AbortController();
  readonly #events: AsyncGenerator<StreamEvent, void, undefined>;
  #following: Following | null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #starting: Promise<Following> | null = null;
  #isClosed = false;

  /** @internal */
  constructor(client: AgentQ, of: string | ((signal: AbortSignal) => Promise<Accepted>), options: FollowOptions) {
    this.#client = client;
    this.#options = options;
    this.#submit = typeof of === "string" ? null : of;
    this.#following = typeof of === "string" ? new Following(of, options.after ?? null) : null;
    this.#events = this.#read();
  }

  [Symbol.asyncIterator](): AsyncGenerator<StreamEvent, void, undefined> {
    return this.#events;
  }

  /** Submit the message of a stream that `stream` has made, unless that was done. Iterating does this too. */
  async start(): Promise<this> {
    try {
      await this.#start();
    } catch (error) {
      this.#release();
      throw error;
    }
    return this;
  }

  /** Close the connection. The iteration ends, and the message goes on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#connections.abort();
    this.#release(); // a reader that never began does not do it
    await this.#events.return();
  }

  get messageId(): string {
    return this.#state.messageId;
  }

  /** The id after which `follow` can continue, also in another process. */
  get lastEventId(): number | null {
    return this.#state.lastEventId;
  }

  /** The answer so far, without what was discarded. */
  get text(): string {
    return this.#state.answer.text;
  }

  /** The number of messages before it, null when it does not wait. */
  get position(): number | null {
    return this.#state.position;
  }

  /** The estimated start, null when it is not known. */
  get eta(): Date | null {
    return this.#state.eta;
  }

  /** The message's state by the last event, null before the first. */
  get state(): string | null {
    return this.#state.state;
  }

  /** The number of the last attempt that was seen. */
  get attempt(): number | null {
    return this.#state.attempt;
  }

  /** The terminal event, null before it. */
  get end(): TerminalEvent | null {
    return this.#state.terminal;
  }

  /**
   * Yield the answer's text, each part once, also when an attempt is tried again. Throws TextDiverged if a later attempt
   * says something else, and the error of a message without an answer.
   */
  async *textStream(): AsyncGenerator<string, void, undefined> {
    const feed = new TextFeed();
    for await (const event of this) {
      const text = feed.take(event, this.#state.answer, this.#state.lostText);
      if (text !== "") yield text;
    }
    checkEnd(this.messageId, this.end);
  }

  /**
   * Read to the end and return the completed message. Throws MessageFailed, MessageCancelled, or MessageInterrupted when
   * the agent asks a human now.
   */
  async untilDone(): Promise<Message> {
    for await (const event of this) {
      if (event.type === "interrupted") checkMessage(await this.#status());
    }
    checkEnd(this.messageId, this.end);
    const message = await this.#status();
    checkCompleted(message, this.lastEventId, this.text);
    return message;
  }

  /** Cancel the message. The stream then ends with `cancelled`. */
  async cancel(): Promise<Cancellation> {
    return this.#client.cancel(this.messageId);
  }

  #status(): Promise<Message> {
    return this.#client.status(this.messageId, { signal: this.#connections.signal });
  }

  get #state(): Following {
    if (this.#following === null) {
      throw new ConfigurationError("The stream was not started.", { cure: "Await `start()`, or iterate over it." });
    }
    return this.#following;
  }

  #start(): Promise<Following> {
    this.#starting ??= (async () => {
      const { signal, waitSeconds } = this.#options;
      if (signal?.aborted) this.#abort();
      signal?.addEventListener("abort", this.#abort);
      if (waitSeconds !== undefined) {
        this.#timer = setTimeout(() => this.#late(waitSeconds), Math.min(1000 * waitSeconds, LONGEST_TIMER_MS));
      }
      if (this.#submit !== null) {
        this.accepted = await this.#submit(this.#connections.signal);
        this.#following = new Following(this.accepted.message_id);
      }
      return this.#state;
    })();
    return this.#starting;
  }

  readonly #abort = (): void => this.#connections.abort(this.#options.signal?.reason);

  #late(seconds: number): void {
    const error =
      this.#following === null
        ? new ServerUnreachable(`The submit got no reply within ${seconds} seconds.`, { maybeDone: true })
        : new WaitTimeout(`The message ${this.messageId} has not ended within ${seconds} seconds.`, this.messageId);
    this.#connections.abort(error);
  }

  async *#read(): AsyncGenerator<StreamEvent, void, undefined> {
    try {
      yield* eventsOf(this.#client, await this.#start(), this.#connections.signal);
    } catch (error) {
      if (!this.#isClosed) throw error;
    } finally {
      this.#release();
    }
  }

  /** Let go of what ends the stream from outside. */
  #release(): void {
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#abort);
  }
}
