/** Items. */

import type { NextCall } from "../core/paging.js";
import type { CallOptions, Query } from "../core/requests.js";
import type { Pages } from "../pages.js";
import { many, nothing, one } from "../reading.js";
import { Part } from "../resources.js";
import type * as models from "./models.js";

/** Data that agents keep across threads. A namespace is a list of labels, the outermost first, or one text. */
export class Items extends Part {
  /**
   * Store an item in place of an earlier one. It expires `ttl_minutes` after its last use. Without `ttl_minutes`, the
   * server's configuration says when it expires.
   */
  async put(
    namespace: models.Namespace,
    key: string,
    value: Readonly<Record<string, unknown>>,
    { ttl_minutes: minutes }: { ttl_minutes?: number | "never" | undefined } = {},
    options?: CallOptions,
  ): Promise<void> {
    const body = { namespace: labels(namespace), key, value, ttl: minutes === "never" ? null : minutes };
    return this._client.call("PUT", "/store/items", nothing, { ...options, body });
  }

  /** Return an item. Throws NotFound if there is none. */
  async get(
    namespace: models.Namespace,
    key: string,
    { refresh_ttl }: { refresh_ttl?: boolean | undefined } = {},
    options?: CallOptions,
  ): Promise<models.Item> {
    const query: Query = { namespace: labels(namespace).join("."), key, refresh_ttl };
    return this._client.call("GET", "/store/items", one<models.Item>("value"), { ...options, query });
  }

  /** Delete an item, if there is one. */
  async delete(namespace: models.Namespace, key: string, options?: CallOptions): Promise<void> {
    const body = { namespace: labels(namespace), key };
    return this._client.call("DELETE", "/store/items", nothing, { ...options, body });
  }

  /** Return the items in a namespace and inside of it, the last updated first. `limit` is the size of a page. */
  search(prefix: models.Namespace = [], query: models.ItemQuery = {}, options?: CallOptions): Pages<models.Item> {
    const body = { ...query, namespace_prefix: labels(prefix) };
    const call = { method: "POST", path: "/store/items/search", body, ...options };
    return this._client.pagesOf(call, many<models.Item>("items", "value"), byOffset);
  }

  /** Return the namespaces that have items. `*` stands for any label. `limit` is the size of a page. */
  namespaces({ prefix, suffix, ...query }: models.NamespaceQuery = {}, options?: CallOptions): Pages<string[]> {
    const body = { ...query, prefix: prefix && labels(prefix), suffix: suffix && labels(suffix) };
    const call = { method: "POST", path: "/store/namespaces", body, ...options };
    return this._client.pagesOf(call, many<string[]>("namespaces"), byOffset);
  }
}

function labels(namespace: models.Namespace): readonly string[] {
  return typeof namespace === "string" ? [namespace] : namespace;
}

/** Return a function that asks for the entries behind a page. An empty page is the last one. */
function byOffset(): NextCall {
  return (call, _, page) => {
    const { offset = 0, ...body } = call.body as { offset?: number };
    return page.length === 0 ? null : { ...call, body: { ...body, offset: offset + page.length } };
  };
}
