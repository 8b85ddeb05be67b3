import { type SseMessage, SseParser, readSse } from "./sse.js";
import {
  type Answer,
  type BatchReply,
  type CancelReply,
  type Health,
  type MessageStatus,
  type Paged,
  type Problem,
  type QueueSummary,
  type ResumeReply,
  type RetryReply,
  type StopReply,
  type StreamEvent,
  type SubmitReply,
  type SubmitRequest,
  type ThreadMessages,
  type ThreadMetadata,
  type ThreadPage,
  type ThreadSummary,
  isTerminal,
} from "./types.js";

// ---------------------------------------------------------------- errors

/** The server answered, and the answer was no. */
export class AgentQueueError extends Error {
  override readonly name = "AgentQueueError";
  readonly status: number;
  /** The problem's stable code; missing when something other than the server answered. */
  readonly code: string | undefined;
  readonly detail: string;
  readonly problem: Partial<Problem> | undefined;
  /** How long the server asked us to stay away. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, problem?: Partial<Problem>, retryAfterMs?: number) {
    const detail = problem?.detail ?? problem?.title ?? `HTTP status ${status}`;
    super(problem?.code ? `${status} ${problem.code}: ${detail}` : `${status}: ${detail}`);
    this.status = status;
    this.code = problem?.code;
    this.detail = detail;
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No answer at all: nobody listens there, or the connection broke. */
export class AgentQueueConnectionError extends Error {
  override readonly name = "AgentQueueConnectionError";
  /** Why, in the words of the network: `connect ECONNREFUSED 127.0.0.1:8000`. */
  readonly reason: string;

  constructor(url: string, cause: unknown) {
    const reason = reasonOf(cause);
    super(`no answer from ${url}: ${reason}`, { cause });
    this.reason = reason;
  }
}

/** A stream that could not be brought to its end, or that is not one. */
export class AgentQueueStreamError extends Error {
  override readonly name = "AgentQueueStreamError";
}

// ---------------------------------------------------------------- options

export interface ClientOptions {
  apiKey?: string;
  /** Put your own in for logging, proxies or tests. */
  fetch?: typeof globalThis.fetch;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface SubmitOptions extends CallOptions {
  /** Makes it safe to send the same request again: the server answers as it did the first time. */
  idempotencyKey?: string;
}

export interface PageOptions extends CallOptions {
  limit?: number;
  /** The `next` of the page before. */
  cursor?: string;
}

export interface StreamOptions extends CallOptions {
  /** Begin after this event instead of at the first one. */
  lastEventId?: string;
}

const MAX_FRUITLESS_TRIES = 5;
const DEFAULT_RETRY_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;
/** The server sends a comment at least every 15 s, so three missed ones mean a dead connection. */
const IDLE_MS = 45_000;
/** A connection that lived this long was a good one, even if the message was only waiting. */
const HEALTHY_MS = 5_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);

interface Send extends CallOptions {
  body?: unknown;
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string>;
}

// ---------------------------------------------------------------- the client

export class AgentQueueClient {
  readonly baseUrl: string;
  readonly #apiKey: string | undefined;
  readonly #fetch: typeof globalThis.fetch;

  constructor(baseUrl: string, options: ClientOptions = {}) {
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.#apiKey = options.apiKey;
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
  }

  /** POST /messages */
  submit(request: SubmitRequest, options: SubmitOptions = {}): Promise<SubmitReply> {
    return this.#json("POST", "/messages", { ...once(options), body: request });
  }

  /** POST /messages/batch: up to 1,000 messages, accepted together or not at all. */
  submitBatch(
    requests: readonly SubmitRequest[],
    options: SubmitOptions = {},
  ): Promise<BatchReply> {
    return this.#json("POST", "/messages/batch", {
      ...once(options),
      body: { messages: requests },
    });
  }

  /** GET /messages/{id}/status */
  status(messageId: string, options: CallOptions = {}): Promise<MessageStatus> {
    return this.#json("GET", `/messages/${encodeURIComponent(messageId)}/status`, options);
  }

  /** DELETE /messages/{id}: works while the message is queued, 409 afterwards. */
  cancel(messageId: string, options: CallOptions = {}): Promise<CancelReply> {
    return this.#json("DELETE", `/messages/${encodeURIComponent(messageId)}`, options);
  }

  /** POST /messages/{id}/cancel: in any state but an end. One that runs is stopped. */
  cancelRunning(messageId: string, options: CallOptions = {}): Promise<StopReply> {
    return this.#json("POST", `/messages/${encodeURIComponent(messageId)}/cancel`, options);
  }

  /** POST /messages/{id}/resume: answer what the agent asks. */
  resume(messageId: string, answer: Answer, options: SubmitOptions = {}): Promise<ResumeReply> {
    return this.#json("POST", `/messages/${encodeURIComponent(messageId)}/resume`, {
      ...once(options),
      body: answer,
    });
  }

  /** POST /messages/{id}/retry: queue a dead letter again, at the tail of its thread. */
  retry(messageId: string, options: CallOptions = {}): Promise<RetryReply> {
    return this.#json("POST", `/messages/${encodeURIComponent(messageId)}/retry`, options);
  }

  /** GET /queue */
  queue(options: CallOptions = {}): Promise<QueueSummary> {
    return this.#json("GET", "/queue", options);
  }

  /** GET /health */
  health(options: CallOptions = {}): Promise<Health> {
    return this.#json("GET", "/health", options);
  }

  /** GET /threads, one page of it, the latest activity first. */
  async threads({ limit, cursor, ...rest }: PageOptions = {}): Promise<ThreadPage> {
    const response = await this.#send("GET", "/threads", { ...rest, query: { limit, cursor } });
    return { threads: (await readJson(response)) as ThreadSummary[], next: nextCursor(response) };
  }

  /** GET /threads/{id} */
  thread(threadId: string, options: CallOptions = {}): Promise<ThreadMetadata> {
    return this.#json("GET", `/threads/${encodeURIComponent(threadId)}`, options);
  }

  /** GET /threads/{id}/messages, one page of it, the oldest first. */
  async threadMessages(
    threadId: string,
    { limit, cursor, ...rest }: PageOptions = {},
  ): Promise<ThreadMessages & Paged> {
    const path = `/threads/${encodeURIComponent(threadId)}/messages`;
    const response = await this.#send("GET", path, { ...rest, query: { limit, cursor } });
    return { ...((await readJson(response)) as ThreadMessages), next: nextCursor(response) };
  }

  /**
   * GET /messages/{id}/stream: the message's events up to its terminal one, over as many
   * connections as that takes. A cut connection is resumed after the last id seen, no sooner than
   * the server's `retry:` allows. Ends early, without a terminal event, when the server answers 204
   * (everything was seen before). Throws when five tries in a row brought nothing new. When a crash
   * of the database took events that this stream has had, it begins anew, with a `reset` of its own.
   */
  async *stream(
    messageId: string,
    { signal, lastEventId = "" }: StreamOptions = {},
  ): AsyncGenerator<StreamEvent, void, undefined> {
    const path = `/messages/${encodeURIComponent(messageId)}/stream`;
    const given = lastEventId;
    let retryMs = DEFAULT_RETRY_MS;
    let fruitless = 0;
    for (;;) {
      const parser = new SseParser(lastEventId);
      const connection = new Connection(signal);
      let failure: unknown;
      try {
        const response = await this.#send("GET", path, {
          signal: connection.signal,
          headers: {
            Accept: "text/event-stream",
            ...(lastEventId === "" ? {} : { "Last-Event-ID": lastEventId }),
          },
        });
        if (response.status === 204) return;
        const options = { parser, onActivity: () => connection.touch() };
        for await (const message of readSse(eventBody(response), options)) {
          const event = toStreamEvent(message);
          if (event === undefined) continue;
          connection.rest(); // the time the caller takes is not the server's silence
          yield event;
          connection.touch();
          if (isTerminal(event)) return;
        }
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        const isLost = lastEventId !== given && isRefusedPosition(error);
        if (!isLost && !isTransient(error)) throw error;
        failure = error;
        if (isLost) {
          lastEventId = "";
          parser.lastEventId = "";
          yield { event: "reset", data: { text: "" } };
        }
      } finally {
        connection.close();
      }

      const fruitful = parser.lastEventId !== lastEventId || connection.ageMs() >= HEALTHY_MS;
      fruitless = fruitful ? 0 : fruitless + 1;
      if (fruitless >= MAX_FRUITLESS_TRIES) {
        throw new AgentQueueStreamError(
          `the stream of ${messageId} brought nothing new in ${fruitless} tries`,
          { cause: failure },
        );
      }
      lastEventId = parser.lastEventId;
      retryMs = parser.retryMs ?? retryMs;
      await sleep(reconnectDelay(retryMs, fruitless, failure), signal);
    }
  }

  async #json<Reply>(method: string, path: string, send: Send): Promise<Reply> {
    return (await readJson(await this.#send(method, path, send))) as Reply;
  }

  async #send(method: string, path: string, send: Send): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json", ...send.headers };
    if (this.#apiKey !== undefined) headers.Authorization = `Bearer ${this.#apiKey}`;
    if (send.body !== undefined) headers["Content-Type"] = "application/json";
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(send.query ?? {})) {
      if (value !== undefined) query.set(name, String(value));
    }
    const search = query.toString();
    const url = `${this.baseUrl}${path}${search && `?${search}`}`;
    let response: Response;
    try {
      response = await this.#fetch(url, {
        method,
        headers,
        ...(send.body === undefined ? {} : { body: JSON.stringify(send.body) }),
        ...(send.signal === undefined ? {} : { signal: send.signal }),
      });
    } catch (error) {
      if (send.signal?.aborted) throw send.signal.reason;
      throw new AgentQueueConnectionError(url, error);
    }
    if (!response.ok) throw await toError(response);
    return response;
  }
}

// ---------------------------------------------------------------- helpers

function once({ idempotencyKey, ...rest }: SubmitOptions): Send {
  return idempotencyKey === undefined
    ? rest
    : { ...rest, headers: { "Idempotency-Key": idempotencyKey } };
}

/** One connection's abort signal: follows the caller's, and fires when the server falls silent. */
class Connection {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #openedAt = performance.now();
  #idle: NodeJS.Timeout | undefined;
  readonly #follow = (): void => this.#controller.abort(this.#caller?.reason);

  constructor(caller: AbortSignal | undefined) {
    this.#caller = caller;
    if (caller?.aborted) this.#follow();
    caller?.addEventListener("abort", this.#follow, { once: true });
    this.touch();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  ageMs(): number {
    return performance.now() - this.#openedAt;
  }

  touch(): void {
    this.rest();
    this.#idle = setTimeout(() => {
      this.#controller.abort(new Error(`nothing heard for ${IDLE_MS / 1_000} s`));
    }, IDLE_MS);
  }

  rest(): void {
    clearTimeout(this.#idle);
  }

  close(): void {
    this.rest();
    this.#caller?.removeEventListener("abort", this.#follow);
    this.#controller.abort();
  }
}

const EVENT_NAMES: ReadonlySet<string> = new Set<StreamEvent["event"]>([
  "waiting",
  "processing",
  "chunk",
  "custom",
  "node",
  "values",
  "updates",
  "usage",
  "retry",
  "reset",
  "interrupted",
  "resumed",
  "version",
  "done",
  "error",
  "cancelled",
]);

/** Undefined for an event type this client does not know: a newer server may send some. */
export function toStreamEvent(message: SseMessage): StreamEvent | undefined {
  if (!EVENT_NAMES.has(message.event)) return undefined;
  let data: unknown;
  try {
    data = JSON.parse(message.data);
  } catch (error) {
    throw new AgentQueueStreamError(`the data of a ${message.event} event is not JSON`, {
      cause: error,
    });
  }
  const id = message.id === undefined ? {} : { id: message.id };
  return { event: message.event, ...id, data } as StreamEvent;
}

function eventBody(response: Response): ReadableStream<Uint8Array> {
  const type = response.headers.get("Content-Type") ?? "nothing";
  if (!type.startsWith("text/event-stream") || response.body === null) {
    throw new AgentQueueStreamError(`expected an event stream, got ${type}`);
  }
  return response.body as ReadableStream<Uint8Array>;
}

/** Whether the log no longer has the event after which a stream was to go on. */
function isRefusedPosition(error: unknown): boolean {
  return (
    error instanceof AgentQueueError && error.status === 422 && error.code === "invalid_request"
  );
}

function isTransient(error: unknown): boolean {
  if (error instanceof AgentQueueStreamError) return false;
  if (error instanceof AgentQueueError) return TRANSIENT.has(error.status);
  return true; // the network's doing
}

function reconnectDelay(retryMs: number, fruitless: number, failure: unknown): number {
  const backoff = Math.min(retryMs * 2 ** Math.max(0, fruitless - 1), MAX_BACKOFF_MS);
  const asked = failure instanceof AgentQueueError ? (failure.retryAfterMs ?? 0) : 0;
  return Math.min(Math.max(retryMs, backoff, asked), LONGEST_TIMER_MS);
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new AgentQueueError(response.status, { detail: "the answer is not JSON" });
  }
}

async function toError(response: Response): Promise<AgentQueueError> {
  let problem: Partial<Problem> | undefined;
  try {
    const body: unknown = JSON.parse(await response.text());
    if (typeof body === "object" && body !== null) problem = body;
  } catch {
    // A proxy's HTML page, or a body cut short: the status has to do.
  }
  const retryAfter = response.headers.get("Retry-After");
  return new AgentQueueError(response.status, problem, parseRetryAfter(retryAfter));
}

function parseRetryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** `Link: </threads?cursor=abc>; rel="next"` → `abc` */
function nextCursor(response: Response): string | null {
  const link = response.headers.get("Link") ?? "";
  const target = /<([^>]*)>[^<]*\brel="?next\b/.exec(link)?.[1];
  return target === undefined ? null : new URL(target, "http://x").searchParams.get("cursor");
}

/** `fetch failed` says nothing; the cause does: `connect ECONNREFUSED 127.0.0.1:8000`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  const code = "code" in cause ? String(cause.code) : "";
  return cause.message || code || error.message;
}
