/** Threads, with what the agent keeps of them. */

import type { CallOptions } from "../core/requests.js";
import type { Schemas, Thread } from "../models.js";
import type { Pages } from "../pages.js";
import { many, one, readThread, threadPath } from "../reading.js";
import { Threads } from "../resources.js";
import type * as models from "./models.js";

/** Conversations, and what the agent keeps of them. */
export class WholeThreads extends Threads {
  /** Begin a new thread with a state of this one. */
  async fork(threadId: string, fields: Schemas["ThreadFork"] = {}, options?: CallOptions): Promise<Thread> {
    const given = { ...options, body: fields, repeatable: false };
    return this._client.call("POST", threadPath(threadId, "/fork"), readThread, given);
  }

  /** Return what the agent keeps of a thread. */
  async state(threadId: string, query: models.StateQuery = {}, options?: CallOptions): Promise<models.ThreadState> {
    return this._client.call("GET", threadPath(threadId, "/state"), one("values"), { ...options, query });
  }

  /** Change the state as if a node had returned `values`. Throws Conflict while a message runs. */
  async updateState(threadId: string, update: Schemas["StateUpdate"], options?: CallOptions): Promise<models.StateUpdated> {
    const given = { ...options, body: update, repeatable: false };
    return this._client.call("POST", threadPath(threadId, "/state"), one("checkpoint"), given);
  }

  /** Return the states that are still kept, newest first. */
  history(threadId: string, query: models.HistoryQuery = {}, options?: CallOptions): Pages<models.ThreadState> {
    return this._client.pages(threadPath(threadId, "/history"), many("states", "values"), query, options);
  }
}
