/** A call as data, and the decision after each try: return the reply, throw, or wait and try again. */

import { ConfigurationError, ServerUnreachable } from "../errors.js";
import { Reply, refusal } from "./replies.js";

const DEFAULT_URL = "http://localhost:8000";
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 8_000;

/** A server that asks to wait longer is reported to the caller at once. */
export const LONGEST_WAIT_SECONDS = 60;

/** Statuses by which the server says that it has stored nothing. */
export const NOT_CARRIED_OUT: ReadonlySet<number> = new Set([429, 503]);
export const MAYBE_CARRIED_OUT: ReadonlySet<number> = new Set([408, 500, 502, 504]);

/** The settings that all calls of a client share. `timeoutSeconds` is the time of one try. */
export interface Config {
  readonly baseUrl: string;
  /** Empty for none. */
  readonly apiKey: string;
  readonly timeoutSeconds: number;
  readonly maxRetries: number;
  readonly headers: Readonly<Record<string, string>>;
}

export type QueryValue = string | number | boolean | Date | null | undefined;
export type Query = Readonly<Record<string, QueryValue | readonly QueryValue[]>>;

export interface CallOptions {
  /** Ends the call, which then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface SubmitOptions extends CallOptions {
  /** A key of the caller's own, which makes the whole program repeatable. Each call has a new one by default. */
  readonly idempotencyKey?: string | undefined;
}

export interface RequestOptions extends CallOptions {
  /** The idempotency key of a POST, a new one by default. With null it has none. */
  readonly idempotencyKey?: string | null | undefined;
  readonly query?: Query | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Whether a second arrival changes nothing more. */
  readonly repeatable?: boolean | undefined;
}

/** A request, as many times as it is sent. */
export interface Call extends RequestOptions {
  readonly method: string;
  readonly path: string;
}

/** The request of one try. */
export interface Request {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly content: string | null;
}

/** A try without a reply, or a connection that broke. `maybeSent` says whether the request may have arrived. */
export class Failure extends Error {
  readonly maybeSent: boolean;

  constructor(what: string, maybeSent: boolean, cause?: unknown) {
    super(what, { cause });
    this.maybeSent = maybeSent;
  }
}

/** Return one segment of a path. Throws ConfigurationError for a text that would name another route. */
export function segment(text: string): string {
  if (typeof text !== "string" || ["", ".", ".."].includes(text)) {
    const cure = "Give the id that the server has returned.";
    throw new ConfigurationError(`${JSON.stringify(text)} cannot be an id.`, { cure });
  }
  try {
    return encodeURIComponent(text);
  } catch (cause) {
    throw new ConfigurationError("An id has half of a character.", { cause });
  }
}

/** Return path and query. What is null or undefined is not sent. */
export function targetOf({ path, query = {} }: Call): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each === null || each === undefined) continue;
      pairs.append(name, each instanceof Date ? each.toISOString() : String(each));
    }
  }
  const search = pairs.toString();
  return search === "" ? path : `${path}?${search}`;
}

/** Return what to send. A POST has an `Idempotency-Key`, which all tries of the request share. */
export function toRequest(call: Call, config: Config): Request {
  const headers: Record<string, string> = { accept: "application/json" };
  // A browser names itself, and would ask the server before each request whether this header is allowed.
  if (environment() !== undefined) headers["user-agent"] = "agentq-client-typescript";
  addTo(headers, config.headers);
  if (config.apiKey !== "") headers["authorization"] = `Bearer ${config.apiKey}`;
  let content: string | null = null;
  if (call.body !== undefined) {
    content = toJson(call.body);
    headers["content-type"] = "application/json";
  }
  if (call.method === "POST" && call.idempotencyKey !== null) headers["idempotency-key"] = call.idempotencyKey ?? newKey();
  addTo(headers, call.headers ?? {});
  return { method: call.method, url: config.baseUrl.replace(/\/+$/, "") + targetOf(call), headers, content };
}

function addTo(headers: Record<string, string>, others: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(others)) headers[name.toLowerCase()] = value;
}

function toJson(body: unknown): string {
  try {
    return JSON.stringify(body, (_, value: unknown) => {
      if (typeof value !== "number" || isFinite(value)) return value;
      throw new TypeError(`${value} has no JSON form`); // instead of null
    });
  } catch (cause) {
    throw new ConfigurationError(`The request cannot be sent as JSON: ${String(cause)}.`, { cause });
  }
}

/** Return a text that no other call has. `crypto.randomUUID` is missing in Node 18 and in pages without HTTPS. */
function newKey(): string {
  const { crypto } = globalThis as { crypto?: Partial<Crypto> };
  return crypto?.randomUUID?.() ?? Array.from({ length: 4 }, () => Math.random().toString(36).slice(2)).join("-");
}

/** Counts the tries of one request and decides what follows each. */
export class Tries {
  readonly #call: Call;
  readonly #config: Config;
  readonly #repeatable: boolean;
  #left: number;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(call: Call, config: Config) {
    this.#call = call;
    this.#config = config;
    this.#repeatable = call.repeatable ?? true;
    this.#left = config.maxRetries;
  }

  /** Return a success, or the milliseconds to wait before the next try. Throws the error that is to be reported. */
  judge(outcome: Reply | Failure): Reply | number {
    if (outcome instanceof Failure) {
      if (this.#left > 0 && (this.#repeatable || !outcome.maybeSent)) return this.#nextPause(0);
      throw this.#unreachable(outcome);
    }
    if (outcome.status >= 200 && outcome.status < 300) return outcome;
    if (this.#left > 0 && this.#mayRepeat(outcome)) return this.#nextPause(outcome.retryAfter ?? 0);
    throw refusal(outcome, this.#call.method, this.#call.path);
  }

  #mayRepeat({ status, retryAfter }: Reply): boolean {
    if ((retryAfter ?? 0) > LONGEST_WAIT_SECONDS) return false;
    return NOT_CARRIED_OUT.has(status) || (MAYBE_CARRIED_OUT.has(status) && this.#repeatable);
  }

  #nextPause(askedSeconds: number): number {
    this.#left -= 1;
    const pause = this.#pauseMs * (0.5 + Math.random() / 2); // spreads the load of many clients
    this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_PAUSE_MS);
    return Math.max(pause, 1000 * askedSeconds);
  }

  #unreachable({ message, maybeSent, cause }: Failure): ServerUnreachable {
    const { method, path } = this.#call;
    const told = `${method} ${this.#config.baseUrl}${path} got no reply: ${message}.`;
    if (!maybeSent || this.#repeatable) return new ServerUnreachable(told, { maybeDone: maybeSent, cause });
    const cure = "It may have been carried out: read the present state before you call again.";
    return new ServerUnreachable(told, { maybeDone: true, cure, cause });
  }
}

export interface ClientOptions {
  readonly apiKey?: string | undefined;
  /** Seconds of one try of a request. 30 by default. */
  readonly timeoutSeconds?: number | undefined;
  /** Tries that follow the first one. 2 by default. */
  readonly maxRetries?: number | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * Return the configuration of a client. What is not given comes from AGENTQ_URL and AGENTQ_API_KEY, and in a page from
 * the page's origin. Throws ConfigurationError for one that cannot be used.
 */
export function configOf(baseUrl: string | undefined, options: ClientOptions): Config {
  const env = environment() ?? {};
  const config = {
    baseUrl: (baseUrl || env["AGENTQ_URL"] || pageOrigin() || DEFAULT_URL).trim(),
    apiKey: (options.apiKey || env["AGENTQ_API_KEY"] || "").trim(),
    timeoutSeconds: options.timeoutSeconds ?? 30,
    maxRetries: options.maxRetries ?? 2,
    headers: options.headers ?? {},
  };
  if (!/^https?:\/\/[^/?#@\s]+(\/[^?#\s]*)?$/i.test(config.baseUrl)) {
    const what = `The address ${JSON.stringify(config.baseUrl.replace(/[^/]*@/, ""))} cannot be used.`;
    throw new ConfigurationError(what, { cure: `Give one such as ${DEFAULT_URL}, without a user.` });
  }
  if (!(config.timeoutSeconds > 0 && config.maxRetries >= 0)) {
    throw new ConfigurationError("`timeoutSeconds` has to be positive, and `maxRetries` 0 or more.");
  }
  if (!/^[ -~]*$/.test(config.apiKey)) {
    const cure = "Copy it again, in one line.";
    throw new ConfigurationError("The API key has characters that no key has.", { code: "invalid_api_key", cure });
  }
  return config;
}

/** Return the environment of the process, undefined in a browser. */
function environment(): Record<string, string | undefined> | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env;
}

function pageOrigin(): string | undefined {
  const origin = (globalThis as { location?: { origin?: string } }).location?.origin;
  return origin?.startsWith("http") ? origin : undefined;
}
