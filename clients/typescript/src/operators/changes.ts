/** The stream of the server's changes. */

import type { AgentQ } from "../client.js";
import { eventsOf } from "../connections.js";
import type { Query } from "../core/requests.js";
import { Watching, type Change, type ChangesReset } from "./watching.js";

export interface FollowChangesOptions {
  /** Continue after the change with this id. */
  readonly after?: string | null | undefined;
  /** Ends the stream, which then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The changes of the server, once each and without an end, over as many connections as it takes. Iterate over it with
 * `for await`. `type` tells them apart; after a
 * `reset`, load what you show anew.
 */
export class ChangeStream implements AsyncIterable<Change | ChangesReset> {
  readonly #client: AgentQ;
  readonly #state: Watching;
  readonly #signal: AbortSignal | undefined;
  readonly #connections = new AbortController();
  readonly #events: AsyncGenerator<Change | ChangesReset, void, undefined>;
  #isClosed = false;

  /** @internal */
  constructor(client: AgentQ, query: Query, { after = null, signal }: FollowChangesOptions) {
    this.#client = client;
    this.#state = new Watching(query, after);
    this.#signal = signal;
    this.#events = this.#read();
  }

  [Symbol.asyncIterator](): AsyncGenerator<Change | ChangesReset, void, undefined> {
    return this.#events;
  }

  /** Close the connection. The iteration ends. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#connections.abort();
    await this.#events.return();
  }

  /** The id after which `follow` can continue, also in another process. Null before the first event. */
  get lastEventId(): string | null {
    return this.#state.lastEventId;
  }

  async *#read(): AsyncGenerator<Change | ChangesReset, void, undefined> {
    const signal = this.#signal;
    const abort = (): void => this.#connections.abort(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    try {
      for await (const event of eventsOf(this.#client, this.#state, this.#connections.signal)) {
        if (event.type !== "cursor") yield event;
      }
    } catch (error) {
      if (!this.#isClosed) throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }
}
