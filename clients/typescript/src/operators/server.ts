/** The server, its figures and its changes. */

import type { Reply } from "../core/replies.js";
import type { CallOptions, Query } from "../core/requests.js";
import type { Pages } from "../pages.js";
import { many, one } from "../reading.js";
import { Part, Server } from "../resources.js";
import { ChangeStream, type FollowChangesOptions } from "./changes.js";
import type * as models from "./models.js";

/** The server itself, with what operators ask it. */
export class WholeServer extends Server {
  /** Return the server's name, its version, and the paths of its parts. */
  async about(options?: CallOptions): Promise<models.About> {
    return this._client.call("GET", "/", one<models.About>("version"), options);
  }

  /** Return whether the process answers. Throws ServerUnreachable if it does not. */
  async live(options?: CallOptions): Promise<models.Alive> {
    return this._client.call("GET", "/health/live", one<models.Alive>("status"), options);
  }

  /** Return the state of a process that can take work. Throws ServerUnavailable if it cannot. */
  async ready(options?: CallOptions): Promise<models.Health> {
    return this._client.call("GET", "/health/ready", one<models.Health>("status"), options);
  }

  /** Examine the server for faults. Needs the scope `admin`. */
  async doctor(options?: CallOptions): Promise<models.Report> {
    return this._client.call("GET", "/doctor", one<models.Report>("findings"), options);
  }

  /** Return the settings of the process that answers, without secrets. Needs the scope `admin`. */
  async settings(options?: CallOptions): Promise<models.Setting[]> {
    return this._client.call("GET", "/settings", many<models.Setting>("settings", "name"), options);
  }

  /** Return the metrics in Prometheus's text format. */
  async metrics(options?: CallOptions): Promise<string> {
    return this._client.call("GET", "/metrics", text, { ...options, headers: { accept: "text/plain" } });
  }

  /** Return who the caller is to the server, with their scopes. */
  async caller(options?: CallOptions): Promise<models.Caller> {
    return this._client.call("GET", "/session", one<models.Caller>("actor"), options);
  }
}

/** The tokens and the cost of the calls of models. */
export class Usage extends Part {
  /** Return tokens and cost by group. Times are whole hours. An empty `group_by` gives one row. */
  list(query: models.UsageQuery = {}, options?: CallOptions): Pages<models.UsageRow> {
    return this._client.pages("/usage", many("rows", "calls"), joined(query), options);
  }

  /** Return what is left of the quotas of the tenant, of the key and of the end user. */
  async quotas(query: models.QuotaQuery = {}, options?: CallOptions): Promise<models.QuotaUse[]> {
    const given = { ...query, group_by: "", limit: 1 };
    return this._client.call("GET", "/usage", many("quotas", "limit"), { ...options, query: given });
  }

  /** Return all groups as CSV. */
  async csv(query: models.UsageQuery = {}, options?: CallOptions): Promise<string> {
    const given = { query: { ...joined(query), format: "csv" }, headers: { accept: "text/csv" } };
    return this._client.call("GET", "/usage", text, { ...options, ...given });
  }
}

/** Figures of the queue. */
export class Statistics extends Part {
  /** Return the messages by state now, and what happened in a window, by default the last hour. */
  async get(query: models.StatisticsQuery = {}, options?: CallOptions): Promise<models.StatisticsView> {
    return this._client.call("GET", "/stats", one<models.StatisticsView>("counts"), { ...options, query });
  }

  /** Return the points of a metric, such as `wait`. `step` is 60, 300, 3600 or 86400 seconds. */
  async series(
    metric: models.Metric,
    query: models.SeriesQuery = {},
    options?: CallOptions,
  ): Promise<models.SeriesList> {
    const given = { ...options, query: { metric, ...query } };
    return this._client.call("GET", "/stats/series", one<models.SeriesList>("series"), given);
  }
}

/** Changes of the server: messages, threads, the queue, agents and workers. */
export class Changes extends Part {
  /** Return a page of the changes after the id `after`, or of the oldest that are kept. */
  async list(query: models.ChangeListQuery = {}, options?: CallOptions): Promise<models.ChangePage> {
    return this._client.call("GET", "/events", one<models.ChangePage>("last_event_id"), { ...options, query });
  }

  /** Return the stream of the changes from now on, or after the id `after`. */
  follow(query: models.ChangeQuery = {}, options: FollowChangesOptions = {}): ChangeStream {
    return new ChangeStream(this._client, query, options);
  }
}

function text(reply: Reply): string {
  return reply.content;
}

function joined({ group_by: groups, ...query }: models.UsageQuery): Query {
  return { ...query, group_by: groups?.join(",") };
}
