/** The parts of `AgentQ` that have a name of their own. */

import type { AgentQ } from "./client.js";
import { segment, type CallOptions, type SubmitOptions } from "./core/requests.js";
import type * as models from "./models.js";
import type { Schemas } from "./models.js";
import type { Pages } from "./pages.js";
import { many, ofThread, one, readThread, withMetadata } from "./reading.js";

/** A part of the API, over a client. */
class Part {
  /** @internal */
  readonly _client: AgentQ;

  constructor(client: AgentQ) {
    this._client = client;
  }
}

/** Conversations, and what the agent keeps of them. */
export class Threads extends Part {
  /** Return the threads, newest activity first. */
  list(query: models.ThreadQuery = {}, options?: CallOptions): Pages<models.ThreadSummary> {
    return this._client.pages("/threads", many(null, "thread_id"), withMetadata(query), options);
  }

  /** Make a thread without messages. */
  async create(fields: Schemas["ThreadCreate"] = {}, options: SubmitOptions = {}): Promise<models.Thread> {
    return this._client.call("POST", "/threads", readThread, { ...options, body: fields });
  }

  /** Return a thread. */
  async get(threadId: string, options?: CallOptions): Promise<models.Thread> {
    return this._client.call("GET", ofThread(threadId), readThread, options);
  }

  /** Change the `name` of a thread, and merge `metadata` into its own. A null removes. */
  async change(threadId: string, changes: Schemas["ThreadPatch"], options?: CallOptions): Promise<models.Thread> {
    return this._client.call("PATCH", ofThread(threadId), readThread, { ...options, body: changes });
  }

  /** Delete a thread with its messages. Throws Conflict while one runs. */
  async delete(threadId: string, options?: CallOptions): Promise<void> {
    return this._client.call("DELETE", ofThread(threadId), () => undefined, { ...options, repeatable: false });
  }

  /** Return the messages of a thread, oldest first. */
  messages(threadId: string, query: { limit?: number } = {}, options?: CallOptions): Pages<models.Message> {
    return this._client.pages(ofThread(threadId, "/messages"), many("messages", "message_id"), query, options);
  }

  /** Begin a new thread with a state of this one. */
  async fork(threadId: string, fields: Schemas["ThreadFork"] = {}, options?: CallOptions): Promise<models.Thread> {
    const given = { ...options, body: fields, repeatable: false };
    return this._client.call("POST", ofThread(threadId, "/fork"), readThread, given);
  }

  /** Return what the agent keeps of a thread. */
  async state(threadId: string, query: models.StateQuery = {}, options?: CallOptions): Promise<models.ThreadState> {
    return this._client.call("GET", ofThread(threadId, "/state"), one("values"), { ...options, query: { ...query } });
  }

  /** Change the state as if a node had returned `values`. Throws Conflict while a message runs. */
  async updateState(threadId: string, update: Schemas["StateUpdate"], options?: CallOptions): Promise<models.StateUpdated> {
    const given = { ...options, body: update, repeatable: false };
    return this._client.call("POST", ofThread(threadId, "/state"), one("checkpoint"), given);
  }

  /** Return the states that are still kept, newest first. */
  history(threadId: string, query: models.HistoryQuery = {}, options?: CallOptions): Pages<models.ThreadState> {
    return this._client.pages(ofThread(threadId, "/history"), many("states", "values"), { ...query }, options);
  }
}

/** Messages that have failed. */
export class DeadLetters extends Part {
  /** Return the failed messages, newest first. */
  list(query: models.DeadLetterQuery = {}, options?: CallOptions): Pages<models.DeadLetter> {
    return this._client.pages("/dead-letters", many("dead_letters", "message_id"), { ...query }, options);
  }

  /** Return the failed messages by kind of failure. */
  async groups(query: { limit?: number } = {}, options?: CallOptions): Promise<models.DeadLetterGroup[]> {
    const read = many<models.DeadLetterGroup>("groups", "fingerprint");
    return this._client.call("GET", "/dead-letters/groups", read, { ...options, query });
  }

  /** Queue failed messages again. */
  async requeue(selection: models.DeadLetterSelection, options?: CallOptions): Promise<models.Requeued> {
    const given = { ...options, body: selection, repeatable: false };
    return this._client.call("POST", "/dead-letters/requeue", one("requeued"), given);
  }

  /** Delete failed messages. */
  async purge(selection: models.DeadLetterSelection, options?: CallOptions): Promise<models.Purged> {
    const given = { ...options, body: selection, repeatable: false };
    return this._client.call("POST", "/dead-letters/purge", one("purged"), given);
  }
}

/** Webhooks that were sent. */
export class Deliveries extends Part {
  /** Return the deliveries, newest first. */
  list(query: models.DeliveryQuery = {}, options?: CallOptions): Pages<models.Delivery> {
    return this._client.pages("/deliveries", many("deliveries", "id"), { ...query }, options);
  }

  /** Send a delivery again. */
  async replay(deliveryId: string, options?: CallOptions): Promise<models.Delivery> {
    const path = `/deliveries/${segment(deliveryId)}/replay`;
    return this._client.call("POST", path, one("id"), { ...options, repeatable: false });
  }
}

/** The queue as a whole. */
export class Queue extends Part {
  /** Return the queue in numbers, its waiting messages in order, and the running ones. */
  async get(query: { limit?: number } = {}, options?: CallOptions): Promise<models.QueueState> {
    return this._client.call("GET", "/queue", one<models.QueueState>("total_queued"), { ...options, query });
  }

  /** Start no more messages. */
  async pause(options?: CallOptions): Promise<models.QueuePaused> {
    return this._client.call("POST", "/queue/pause", one<models.QueuePaused>("paused"), options);
  }

  /** Start messages again. */
  async resume(options?: CallOptions): Promise<models.QueuePaused> {
    return this._client.call("POST", "/queue/resume", one<models.QueuePaused>("paused"), options);
  }
}

/** The agents of the server. */
export class Agents extends Part {
  /** Return the agents, the default one first. */
  async list(options?: CallOptions): Promise<models.Agent[]> {
    return this._client.call("GET", "/agents", many<models.Agent>("agents", "name"), options);
  }
}

/** The tokens and the cost of the calls of models. */
export class Usage extends Part {
  /** Return tokens and cost by group. */
  list({ group_by: groups, ...query }: models.UsageQuery = {}, options?: CallOptions): Pages<models.UsageRow> {
    return this._client.pages("/usage", many("rows", "calls"), { ...query, group_by: groups?.join(",") }, options);
  }
}

/** Tokens for end users, such as browsers. */
export class Tokens extends Part {
  /** Make a token with a part of the caller's rights. */
  async create(fields: Schemas["TokenCreate"] = {}, options?: CallOptions): Promise<models.Token> {
    return this._client.call("POST", "/tokens", one("token"), { ...options, body: fields });
  }
}

/** Tickets for readers that can send no header. */
export class Tickets extends Part {
  /** Make a ticket that opens one stream of the message, or a WebSocket without `messageId`. */
  async create(messageId?: string, options?: CallOptions): Promise<models.Ticket> {
    const given = { ...options, body: { message_id: messageId } };
    return this._client.call("POST", "/tickets", one("ticket"), given);
  }
}

/** The server itself. */
export class Server extends Part {
  /** Return the state of the server. */
  async health(options?: CallOptions): Promise<models.Health> {
    return this._client.call("GET", "/health", one<models.Health>("status"), options);
  }
}
