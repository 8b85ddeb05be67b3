/** A whole reply of the server, and the error that a refusal means. */

import * as errors from "../errors.js";
import type { Schemas } from "../models.js";

const SHOWN_CHARACTERS = 200;

/** A reply with its body as text. */
export class Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly content: string;

  constructor(status: number, headers: Headers, content: string) {
    this.status = status;
    this.headers = headers;
    this.content = content;
  }

  /** The id that the server or a proxy gave the request, null without one. */
  get requestId(): string | null {
    return this.headers.get("x-request-id");
  }

  /** The seconds that the server asks to wait, null if it asks for none. */
  get retryAfter(): number | null {
    return secondsOf(this.headers.get("retry-after"));
  }

  /** Return the body as JSON. Throws UnexpectedReply for a body that is none. */
  json(): unknown {
    try {
      return JSON.parse(this.content);
    } catch (cause) {
      const what = `The reply with status ${this.status} is not JSON: ${this.shown}.`;
      throw new errors.UnexpectedReply(what, { requestId: this.requestId, cause });
    }
  }

  /** The beginning of the body, for texts of errors. */
  get shown(): string {
    return JSON.stringify(this.content.slice(0, SHOWN_CHARACTERS));
  }
}

/** Return the seconds of a `Retry-After`, which is a number or a date. Null for what is neither. */
export function secondsOf(retryAfter: string | null): number | null {
  if (retryAfter === null) return null;
  if (/^\d+$/.test(retryAfter)) return Number(retryAfter.slice(0, 9));
  const moment = Date.parse(retryAfter);
  return Number.isNaN(moment) ? null : Math.max(0, (moment - Date.now()) / 1000);
}

type Kind = new (what: string, refusal: errors.Refusal) => errors.APIError;

const INVALID = new Set([400, 408, 413, 414, 415, 422, 431]);
const GATEWAY = new Set([502, 503, 504]);

/** The errors and cures by status, and by code where one says more than its status. */
const KINDS = new Map<number | string | null, [Kind, string]>([
  [401, [errors.AuthenticationError, "Give a valid key as `apiKey` or in AGENTQ_API_KEY."]],
  [403, [errors.PermissionDenied, "Use a key whose scopes allow this request."]],
  [404, [errors.NotFound, "Check the id, and that the key belongs to the same tenant."]],
  [409, [errors.Conflict, "Read the present state, then decide."]],
  [410, [errors.Gone, "Begin anew, since it cannot be brought back."]],
  [429, [errors.TooManyRequests, "Send fewer requests, and wait for `retryAfter` seconds."]],
  ["queue_full", [errors.QueueFull, "Submit later, since nothing was stored; `retryAfter` says when."]],
  ["commit_unknown", [errors.CommitUnknown, "Repeat the call with the same idempotency key."]],
]);

/** Return the error for a reply whose status is not a success. */
export function refusal(reply: Reply, method: string, path: string): errors.AgentQError {
  const problem = problemOf(reply);
  const code = stringOrNull(problem.code);
  const isOurs = code !== null;
  const requestId = reply.requestId ?? stringOrNull((problem as Record<string, unknown>)["request_id"]);
  const isUnknownRoute = isOurs ? code === "not_found" || code === "method_not_allowed" : [404, 405].includes(reply.status);
  if (isUnknownRoute) return new errors.ServerTooOld(`The server does not know ${method} ${path}.`, { requestId });
  if (!isOurs && reply.status < 500 && !KINDS.has(reply.status)) {
    const what = `${method} ${path} was answered with status ${reply.status}: ${reply.shown}.`;
    return new errors.UnexpectedReply(what, { requestId });
  }
  const [kind, cure] = kindOf(reply.status, code);
  const detail = problem.detail || problem.title || `status ${reply.status}`;
  return new kind(`${method} ${path} was refused: ${String(detail).replace(/\.+$/, "")}.`, {
    status: reply.status,
    code: code ?? `http_${reply.status}`,
    cure,
    requestId,
    fields: fieldsOf(problem.errors),
    state: stringOrNull((problem as Record<string, unknown>)["state"]),
    retryAfter: reply.retryAfter,
    problem,
  });
}

function kindOf(status: number, code: string | null): [Kind, string] {
  const known = KINDS.get(code) ?? KINDS.get(status);
  if (known !== undefined) return known;
  if (INVALID.has(status)) return [errors.InvalidRequest, "Correct the request; `fields` names what is wrong."];
  if (GATEWAY.has(status)) {
    return [errors.ServerUnavailable, "Try again later; `retryAfter` says when, if the server knows."];
  }
  return [errors.ServerFault, "Look into the server's log."];
}

function problemOf(reply: Reply): Partial<Schemas["Problem"]> {
  try {
    const problem: unknown = JSON.parse(reply.content);
    return typeof problem === "object" && problem !== null ? problem : {};
  } catch {
    return {}; // a page of a proxy, for which the status has to do
  }
}

function fieldsOf(found: unknown): errors.FieldProblem[] {
  if (!Array.isArray(found)) return [];
  return found
    .filter((error) => typeof error === "object" && error !== null)
    .map(({ field = "", detail = "" }) => ({ field: String(field), detail: String(detail) }));
}

function stringOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
