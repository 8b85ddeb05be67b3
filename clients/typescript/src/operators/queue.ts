/** The queue, its workers, failed messages and webhooks. */

import { segment, type CallOptions } from "../core/requests.js";
import type { Pages } from "../pages.js";
import { many, messagePath, one } from "../reading.js";
import { Part } from "../resources.js";
import type * as models from "./models.js";

/** The queue as a whole. */
export class Queue extends Part {
  /** Return the queue in numbers, its waiting messages in order, and the running ones. */
  async get(query: models.QueueQuery = {}, options?: CallOptions): Promise<models.QueueState> {
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

/** Processes that run messages. */
export class Workers extends Part {
  /** Return the live workers on all hosts, oldest first. */
  async list(options?: CallOptions): Promise<models.Worker[]> {
    return this._client.call("GET", "/workers", many<models.Worker>("workers", "id"), options);
  }

  /** Have a worker claim no more messages and end its runs, while its process goes on. */
  async drain(workerId: string, options?: CallOptions): Promise<models.Worker> {
    return this._client.call("POST", `/workers/${segment(workerId)}/drain`, one<models.Worker>("id"), options);
  }

  /** Let a drained worker claim messages again. */
  async resume(workerId: string, options?: CallOptions): Promise<models.Worker> {
    return this._client.call("POST", `/workers/${segment(workerId)}/resume`, one<models.Worker>("id"), options);
  }
}

/** Messages that have failed. */
export class DeadLetters extends Part {
  /** Return the failed messages, newest first. */
  list(query: models.DeadLetterQuery = {}, options?: CallOptions): Pages<models.DeadLetter> {
    return this._client.pages("/dead-letters", many("dead_letters", "message_id"), query, options);
  }

  /** Return the failed messages by kind of failure. */
  async groups(query: models.DeadLetterGroupQuery = {}, options?: CallOptions): Promise<models.DeadLetterGroup[]> {
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
    return this._client.pages("/deliveries", many("deliveries", "id"), query, options);
  }

  /** Return the deliveries of a message, oldest first. */
  async ofMessage(messageId: string, options?: CallOptions): Promise<models.Delivery[]> {
    const read = many<models.Delivery>("deliveries", "id");
    return this._client.call("GET", messagePath(messageId, "/deliveries"), read, options);
  }

  /** Send a delivery again. */
  async replay(deliveryId: string, options?: CallOptions): Promise<models.Delivery> {
    const path = `/deliveries/${segment(deliveryId)}/replay`;
    return this._client.call("POST", path, one("id"), { ...options, repeatable: false });
  }
}
