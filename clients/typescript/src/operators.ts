/** `AgentQOperator`, the client with the calls for operators. It is apart so that pages of end users do not load them. */

import { AgentQ } from "./client.js";
import type { CallOptions } from "./core/requests.js";
import type { Schemas } from "./models.js";
import { Audit, Keys, Tenants, Tokens } from "./operators/access.js";
import { Erasures } from "./operators/erasures.js";
import { Items } from "./operators/items.js";
import { DeadLetters, Deliveries, Queue, Workers } from "./operators/queue.js";
import type { Cancellations, CancelledQueued, Reprioritized } from "./operators/models.js";
import { Changes, Statistics, Usage, WholeServer } from "./operators/server.js";
import { Storage } from "./operators/storage.js";
import { WholeThreads } from "./operators/threads.js";
import { messagePath, one } from "./reading.js";

export type { ChangeStream, FollowChangesOptions } from "./operators/changes.js";
export type * from "./operators/models.js";
export { ChangesLost } from "./operators/watching.js";
export type { Change, ChangesReset } from "./operators/watching.js";

/** A client of an Agent Queue System as `AgentQ` is, with a method for each public route. */
export class AgentQOperator extends AgentQ {
  override readonly threads: WholeThreads = new WholeThreads(this);
  override readonly server: WholeServer = new WholeServer(this);
  readonly queue = new Queue(this);
  readonly workers = new Workers(this);
  readonly deadLetters = new DeadLetters(this);
  readonly deliveries = new Deliveries(this);
  readonly items = new Items(this);
  readonly usage = new Usage(this);
  readonly storage = new Storage(this);
  readonly statistics = new Statistics(this);
  readonly changes = new Changes(this);
  readonly keys = new Keys(this);
  readonly tenants = new Tenants(this);
  readonly tokens = new Tokens(this);
  readonly audit = new Audit(this);
  readonly erasures = new Erasures(this);

  /** Cancel a message that has not begun. Throws Conflict for one that has. */
  async cancelQueued(messageId: string, options?: CallOptions): Promise<CancelledQueued> {
    return this.call("DELETE", messagePath(messageId), one("message_id"), { ...options, repeatable: false });
  }

  /** Cancel the unfinished messages of a filter, or with these ids. Throws Conflict unless `expected_count` match. */
  async cancelAll(selection: Schemas["UnfinishedSelection"], options?: CallOptions): Promise<Cancellations> {
    const given = { ...options, body: selection, repeatable: false };
    return this.call("POST", "/messages/cancel", one("cancelled"), given);
  }

  /** Change the priority of the queued messages with these ids, or of a filter, as `cancelAll` selects them. */
  async changeAll(selection: Schemas["QueuedSelection"], options?: CallOptions): Promise<Reprioritized> {
    const given = { ...options, body: selection, repeatable: false };
    return this.call("POST", "/messages/priority", one("reprioritized"), given);
  }
}
