/** What is stored, and how long it is kept. */

import type { CallOptions } from "../core/requests.js";
import type { Pages } from "../pages.js";
import { many, one, threadPath } from "../reading.js";
import { Part } from "../resources.js";
import type * as models from "./models.js";

/**
 * Rows and bytes of what tenants and threads store. `max_age` is how many seconds ago a measurement may have begun; 0
 * measures anew. A long measurement goes on after its call: ask again until it is `complete`.
 */
export class Storage extends Part {
  /** Return what tenants and the engine store, and the settings that decide how long. Has up to 100 tenants. */
  async report(query: models.StorageQuery = {}, options?: CallOptions): Promise<models.StorageReport> {
    return this._client.call("GET", "/storage", one<models.StorageReport>("tenants"), { ...options, query });
  }

  /** Return what each tenant stores, by their names. Without the scope `admin`, there is only the caller's own. */
  tenants(query: models.StorageQuery = {}, options?: CallOptions): Pages<models.TenantStorage> {
    return this._client.pages("/storage", many("tenants", "total_bytes"), query, options);
  }

  /** Return the largest threads of a tenant, the largest first. */
  threads(query: models.LargestThreadsQuery = {}, options?: CallOptions): Pages<models.ThreadSizes> {
    return this._client.pages("/storage/threads", many("threads", "total_bytes"), query, options);
  }

  /** Return what one thread stores. */
  async thread(threadId: string, query: models.ThreadStorageQuery = {}, options?: CallOptions): Promise<models.ThreadStorage> {
    const read = one<models.ThreadStorage>("total_bytes");
    return this._client.call("GET", threadPath(threadId, "/storage"), read, { ...options, query });
  }
}
