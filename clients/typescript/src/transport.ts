/** The only module that calls `fetch`: sends requests and opens streams. */

import { Reply } from "./core/replies.js";
import { Failure, type Request } from "./core/requests.js";
import { ConfigurationError, UnexpectedReply } from "./errors.js";

export type Fetch = typeof globalThis.fetch;

/** A longer reply is not from a server of this kind, and is not kept in memory. */
export const MAX_REPLY_CHARACTERS = 256 * 1024 * 1024;

/** Longer timers end at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Codes of Node for connections that were never opened. Browsers tell no code. */
const NOT_SENT: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/**
 * Return why there is no reply. `fetch failed` says nothing, but its cause in Node does. A certificate that is not trusted
 * is a ConfigurationError, since no later try would help.
 */
function failureOf(error: unknown): Error {
  const { cause = error } = Object(error) as { cause?: unknown };
  const { code, message } = Object(cause) as { code?: unknown; message?: unknown };
  const what = String(message || code || cause);
  if (!/CERT|VERIFY/.test(String(code))) return new Failure(what, !NOT_SENT.has(code), error);
  const cure = "Name the certificate of its issuer in NODE_EXTRA_CA_CERTS.";
  return new ConfigurationError(`The server's certificate is not trusted: ${what}.`, { cure, cause: error });
}

/** Ends a connection when its caller aborts, or when it is silent for too long. */
class Guard {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #follow = (): void => this.#controller.abort(this.#caller?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #late: Failure | null = null;

  constructor(caller: AbortSignal | undefined) {
    this.#caller = caller;
    if (caller?.aborted) this.#follow();
    caller?.addEventListener("abort", this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** End the connection after `ms`, unless `rest` comes first. */
  watch(ms: number): void {
    this.rest();
    this.#timer = setTimeout(() => {
      this.#late = new Failure("the server was silent for too long", true);
      this.#controller.abort();
    }, Math.min(ms, LONGEST_TIMER_MS));
  }

  rest(): void {
    clearTimeout(this.#timer);
  }

  /** Return what to throw for an error of the connection: the caller's own reason, or a Failure. */
  translate(error: unknown): unknown {
    if (this.#caller?.aborted) return this.#caller.reason;
    return this.#late ?? failureOf(error);
  }

  /** End the connection for good. */
  close(): void {
    this.rest();
    this.#caller?.removeEventListener("abort", this.#follow);
    this.#controller.abort();
  }
}

/** A reply whose body is read piece by piece. It has to be closed. */
export class OpenReply {
  readonly status: number;
  readonly headers: Headers;
  readonly #response: Response;
  readonly #guard: Guard;

  constructor(response: Response, guard: Guard) {
    this.status = response.status;
    this.headers = response.headers;
    this.#response = response;
    this.#guard = guard;
  }

  /** Yield the body as it arrives; `silenceMs` returns the longest pause before a piece. Throws a Failure. */
  async *pieces(silenceMs: () => number): AsyncGenerator<Uint8Array, void, undefined> {
    const reader = this.#response.body?.getReader();
    while (reader !== undefined) {
      this.#guard.watch(silenceMs());
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw this.#guard.translate(error);
      });
      this.#guard.rest(); // the time that the caller takes is not the server's silence
      if (this.#guard.signal.aborted) throw this.#guard.translate(null); // a `fetch` of the caller may go on
      if (done) return;
      yield value;
    }
  }

  /** Return the whole reply. It has to come within `ms`. Throws UnexpectedReply for one that has no end. */
  async read(ms: number): Promise<Reply> {
    const end = performance.now() + ms;
    const decoder = new TextDecoder();
    let content = "";
    for await (const piece of this.pieces(() => end - performance.now())) {
      content += decoder.decode(piece, { stream: true });
      if (content.length > MAX_REPLY_CHARACTERS) {
        throw new UnexpectedReply(`The reply has more than ${MAX_REPLY_CHARACTERS} characters.`);
      }
    }
    return new Reply(this.status, this.headers, content);
  }

  close(): void {
    this.#guard.close();
  }
}

/** Sends over `fetch`, or over a function of the caller with the same shape. */
export class Transport {
  readonly #fetch: Fetch;

  constructor(fetch: Fetch | undefined) {
    this.#fetch = fetch ?? ((input, init) => globalThis.fetch(input, init));
  }

  /** Open a reply, whose head has to come within `ms`. Throws a Failure, or the reason of the signal. */
  async open(request: Request, ms: number, signal: AbortSignal | undefined): Promise<OpenReply> {
    const headers = headersOf(request);
    const guard = new Guard(signal);
    guard.watch(ms);
    try {
      const response = await this.#fetch(request.url, {
        method: request.method,
        headers,
        body: request.content,
        signal: guard.signal,
        cache: "no-store",
        redirect: "manual", // a key is never sent to another address
      });
      guard.rest();
      return new OpenReply(response, guard);
    } catch (error) {
      const translated = guard.translate(error);
      guard.close();
      throw translated;
    }
  }

  /** Return the whole reply, or why there is none within `ms`. Throws the reason of the signal. */
  async send(request: Request, ms: number, signal: AbortSignal | undefined): Promise<Reply | Failure> {
    const end = performance.now() + ms;
    let reply: OpenReply | undefined;
    try {
      reply = await this.open(request, ms, signal);
      return await reply.read(end - performance.now());
    } catch (error) {
      if (error instanceof Failure) return error;
      throw error;
    } finally {
      reply?.close();
    }
  }
}

function headersOf({ headers }: Request): Headers {
  try {
    return new Headers(headers);
  } catch (cause) {
    const what = `The request cannot be sent: ${(cause as Error).message}.`;
    throw new ConfigurationError(what, { cure: "Check key and headers.", cause });
  }
}

/** Wait. Throws the reason of the signal as soon as it is aborted. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
