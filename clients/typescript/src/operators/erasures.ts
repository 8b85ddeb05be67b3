/** Erasures: the removal of all of a thread, an end user or a tenant. */

import { segment, type CallOptions } from "../core/requests.js";
import { many, one, threadPath } from "../reading.js";
import { Part } from "../resources.js";
import type * as models from "./models.js";

const ONCE = { repeatable: false };
const RECEIPT = { prefer: "respond-async" };

/** Erasures and their receipts. An erasure goes on after its call: read the receipt again until it is completed. */
export class Erasures extends Part {
  /** Begin to erase a thread. A message that runs is cancelled and awaited. */
  async eraseThread(threadId: string, options?: CallOptions): Promise<models.Erasure> {
    return this._client.call("DELETE", threadPath(threadId), one("id"), { ...options, ...ONCE, headers: RECEIPT });
  }

  /** Begin to erase all that the tenant has of an end user, and end their tokens. */
  async eraseSubject(subject: string, options?: CallOptions): Promise<models.Erasure> {
    return this._client.call("DELETE", `/subjects/${segment(subject)}`, one("id"), { ...options, ...ONCE });
  }

  /** Begin to erase a tenant, and revoke its keys. Needs the scope `admin`. */
  async eraseTenant(tenant: string, options?: CallOptions): Promise<models.Erasure> {
    return this._client.call("DELETE", `/tenants/${segment(tenant)}`, one("id"), { ...options, ...ONCE });
  }

  /** Return the newest erasures. */
  async list(query: models.ErasureQuery = {}, options?: CallOptions): Promise<models.Erasure[]> {
    return this._client.call("GET", "/erasures", many("erasures", "id"), { ...options, query });
  }

  /** Return an erasure with what it has removed so far. */
  async get(erasureId: string, options?: CallOptions): Promise<models.Erasure> {
    return this._client.call("GET", `/erasures/${segment(erasureId)}`, one("id"), options);
  }
}
