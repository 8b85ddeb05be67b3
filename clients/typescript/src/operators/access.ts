/** Callers: their keys and tokens, and what they changed. */

import { segment, type CallOptions } from "../core/requests.js";
import type { Schemas } from "../models.js";
import type { Pages } from "../pages.js";
import { many, one } from "../reading.js";
import { Part } from "../resources.js";
import type * as models from "./models.js";

/** The server stores no secret, and therefore no reply for an idempotency key. */
const UNKEYED = { repeatable: false, idempotencyKey: null };

/** API keys. */
export class Keys extends Part {
  /** Return the keys by id, also expired and revoked ones. */
  list(query: models.KeyQuery = {}, options?: CallOptions): Pages<models.Key> {
    return this._client.pages("/keys", many("keys", "id"), query, options);
  }

  /**
   * Make a key. Store its `key`, which is shown once. By default the scopes are `submit`, `read` and `control`, and it
   * never expires.
   */
  async create(fields: models.KeyFields = {}, options?: CallOptions): Promise<models.KeyIssued> {
    return this._client.call("POST", "/keys", one("key"), { ...options, ...UNKEYED, body: fields });
  }

  /** Return a key without its secrets. */
  async get(keyId: string, options?: CallOptions): Promise<models.Key> {
    return this._client.call("GET", keyPath(keyId), one("id"), options);
  }

  /** Change the given limits and quotas of a key. Null gives a limit or a quota its default. */
  async change(keyId: string, changes: Schemas["KeyChange"], options?: CallOptions): Promise<models.Key> {
    return this._client.call("PATCH", keyPath(keyId), one("id"), { ...options, body: changes });
  }

  /** Give a key a new secret. The present one stays good for `grace_seconds`, a day by default. */
  async rotate(keyId: string, fields: Schemas["KeyRotate"] = {}, options?: CallOptions): Promise<models.KeyIssued> {
    return this._client.call("POST", keyPath(keyId, "/rotate"), one("key"), { ...options, ...UNKEYED, body: fields });
  }

  /** Revoke a key for good. */
  async revoke(keyId: string, options?: CallOptions): Promise<models.Key> {
    return this._client.call("POST", keyPath(keyId, "/revoke"), one("id"), options);
  }
}

/** Settings of tenants: their shares, limits and quotas. */
export class Tenants extends Part {
  /** Return the tenants that have settings of their own, by name. */
  list(query: models.TenantQuery = {}, options?: CallOptions): Pages<models.Tenant> {
    return this._client.pages("/tenants", many("tenants", "tenant"), query, options);
  }

  /** Return the settings of a tenant. Throws NotFound if it has none of its own. */
  async get(tenant: string, options?: CallOptions): Promise<models.Tenant> {
    return this._client.call("GET", `/tenants/${segment(tenant)}`, one("tenant"), options);
  }

  /** Change the given settings of a tenant. Null gives a setting its default. */
  async change(tenant: string, changes: Schemas["TenantChange"], options?: CallOptions): Promise<models.Tenant> {
    return this._client.call("PATCH", `/tenants/${segment(tenant)}`, one("tenant"), { ...options, body: changes });
  }
}

/** Tokens for end users, such as browsers. */
export class Tokens extends Part {
  /** Make a token with a part of the caller's rights. */
  async create(fields: Schemas["TokenCreate"] = {}, options?: CallOptions): Promise<models.Token> {
    return this._client.call("POST", "/tokens", one("token"), { ...options, body: fields });
  }

  /** End the tokens and tickets of an end user, or `all` of the tenant, that were made before now. */
  async revoke(
    selection: { subject: string } | { all: true },
    options?: CallOptions,
  ): Promise<models.TokensRevoked> {
    return this._client.call("POST", "/tokens/revoke", one("subject"), { ...options, body: selection });
  }
}

/** The audit log: what was changed, and by whom. */
export class Audit extends Part {
  /** Return the records, newest first. `target` is the id of what was changed. */
  list(query: models.AuditQuery = {}, options?: CallOptions): Pages<models.AuditRecord> {
    return this._client.pages("/audit", many("records", "number"), query, options);
  }
}

function keyPath(keyId: string, verb = ""): string {
  return `/keys/${segment(keyId)}${verb}`;
}
