/** The parts of `AgentQ` that have a name of their own. `operators/` has those that only `AgentQOperator` has. */

import type { AgentQ } from "./client.js";
import { segment, type CallOptions, type SubmitOptions } from "./core/requests.js";
import type * as models from "./models.js";
import type { Schemas } from "./models.js";
import type { Pages } from "./pages.js";
import { many, nothing, one, readThread, threadPath, withMetadata } from "./reading.js";

/** A part of the API, over a client. */
export class Part {
  /** @internal */
  readonly _client: AgentQ;

  constructor(client: AgentQ) {
    this._client = client;
  }
}

/** Conversations. */
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
    return this._client.call("GET", threadPath(threadId), readThread, options);
  }

  /** Change the `name` of a thread, and merge `metadata` into its own. A null removes. */
  async change(threadId: string, changes: Schemas["ThreadPatch"], options?: CallOptions): Promise<models.Thread> {
    return this._client.call("PATCH", threadPath(threadId), readThread, { ...options, body: changes });
  }

  /** Delete a thread with its messages. Throws Conflict while one runs. */
  async delete(threadId: string, options?: CallOptions): Promise<void> {
    return this._client.call("DELETE", threadPath(threadId), nothing, { ...options, repeatable: false });
  }

  /** Return the messages of a thread, oldest first. */
  messages(threadId: string, query: models.ThreadMessageQuery = {}, options?: CallOptions): Pages<models.Message> {
    return this._client.pages(threadPath(threadId, "/messages"), many("messages", "message_id"), query, options);
  }
}

/** The agents of the server. */
export class Agents extends Part {
  /** Return the agents, the default one first. */
  async list(options?: CallOptions): Promise<models.Agent[]> {
    return this._client.call("GET", "/agents", many<models.Agent>("agents", "name"), options);
  }

  /** Return an agent with its schemas. */
  async get(name: string, options?: CallOptions): Promise<models.Agent> {
    return this._client.call("GET", `/agents/${segment(name)}`, one<models.Agent>("name"), options);
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
  /** Return the state of the process that answers. */
  async health(options?: CallOptions): Promise<models.Health> {
    return this._client.call("GET", "/health", one<models.Health>("status"), options);
  }
}
